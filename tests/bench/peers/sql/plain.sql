-- The schema a team would start with: orders as they stand, payments and refunds, and an outbox whose rows are kept.
-- No foreign keys (they would cost), and each table has the indexes that its own routes need.

CREATE TABLE orders (
    id                 uuid   PRIMARY KEY,
    tenant             text   NOT NULL,
    idempotency_key    text   NOT NULL,
    request_hash       text   NOT NULL,
    merchant_reference text   NOT NULL,
    amount             bigint NOT NULL CHECK (amount > 0),
    currency           text   NOT NULL,
    captured           bigint NOT NULL DEFAULT 0 CHECK (captured <= amount),
    refunded           bigint NOT NULL DEFAULT 0 CHECK (refunded <= captured),
    refund_pending     bigint NOT NULL DEFAULT 0,
    status             text   NOT NULL GENERATED ALWAYS AS (
        CASE WHEN captured = 0 THEN 'processing'
             WHEN refunded = 0 AND captured < amount THEN 'partially_captured'
             WHEN refunded = 0 THEN 'captured'
             WHEN refunded < captured THEN 'partially_refunded'
             ELSE 'refunded' END) STORED,
    version            bigint NOT NULL DEFAULT 1,
    checkout           json   NOT NULL,
    created_at         bigint NOT NULL,
    updated_at         bigint NOT NULL,
    UNIQUE (tenant, idempotency_key)
) WITH (fillfactor = 80); -- so that an update finds room beside the row and touches no index

CREATE TABLE payments (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id  uuid   NOT NULL,
    source    text   NOT NULL,
    event_id  text   NOT NULL,
    reference text   NOT NULL,
    amount    bigint NOT NULL,
    body      text   NOT NULL,
    at        bigint NOT NULL,
    UNIQUE (source, event_id)
);
CREATE INDEX ON payments (order_id);

CREATE TABLE refunds (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id  uuid   NOT NULL,
    source    text   NOT NULL,
    event_id  text   NOT NULL,
    reference text   NOT NULL,
    amount    bigint NOT NULL,
    body      text   NOT NULL,
    at        bigint NOT NULL,
    UNIQUE (source, event_id)
);
CREATE INDEX ON refunds (order_id);

-- Verified webhooks that were set aside.
CREATE TABLE quarantine (
    source   text   NOT NULL,
    event_id text   NOT NULL,
    reason   text   NOT NULL,
    body     text   NOT NULL,
    at       bigint NOT NULL,
    PRIMARY KEY (source, event_id)
);

CREATE TABLE outbox (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id uuid   NOT NULL,
    kind     text   NOT NULL,
    amount   bigint NOT NULL,
    payload  json   NOT NULL,
    at       bigint NOT NULL
);
