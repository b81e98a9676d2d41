BEGIN;
CREATE TABLE order_summaries_new AS
SELECT order_id,
       amount, currency, merchant_reference, captured, refunded, refund_pending, position, updated_at,
       CASE WHEN captured = 0 THEN 'processing'
            WHEN refunded = 0 AND captured < amount THEN 'partially_captured'
            WHEN refunded = 0 THEN 'captured'
            WHEN refunded < captured THEN 'partially_refunded'
            ELSE 'refunded' END AS status
FROM (
    SELECT order_id,
           sum(amount) FILTER (WHERE kind = 'opened')::bigint AS amount,
           max(payload -> 'amount' ->> 'currency') FILTER (WHERE kind = 'opened') AS currency,
           max(payload ->> 'merchant_reference') FILTER (WHERE kind = 'opened') AS merchant_reference,
           coalesce(sum(amount) FILTER (WHERE kind = 'captured'), 0)::bigint AS captured,
           coalesce(sum(amount) FILTER (WHERE kind = 'refund_settled'), 0)::bigint AS refunded,
           greatest(coalesce(sum(amount) FILTER (WHERE kind = 'refund_requested'), 0)
                  - coalesce(sum(amount) FILTER (WHERE kind = 'refund_settled'), 0), 0)::bigint AS refund_pending,
           max(id) AS position,
           max(at) AS updated_at
    FROM outbox GROUP BY order_id
) sums;
ALTER TABLE order_summaries_new ADD PRIMARY KEY (order_id);
DROP TABLE IF EXISTS order_summaries;
ALTER TABLE order_summaries_new RENAME TO order_summaries;
ALTER INDEX order_summaries_new_pkey RENAME TO order_summaries_pkey;
COMMIT;
