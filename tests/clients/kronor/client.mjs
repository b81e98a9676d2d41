// Uses the Kronor surface as a merchant's server and a buyer's browser do, with graphql-request and graphql-ws.
// Arguments: the server's URL and the merchant's API key. Prints one line of JSON for each thing it sees, and ends
// when both orders have got where they should.

import { ClientError, GraphQLClient, gql } from "graphql-request";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [server, apiKey] = process.argv.slice(2);
const url = `${server}/kronor/v1/graphql`;
const say = (what, data) => console.log(JSON.stringify({ what, ...data }));
const http = (token) => new GraphQLClient(url, { headers: { Authorization: `Bearer ${token}` } });

const address = {
  firstName: "Ada", lastName: "Byron", email: "ada@shop.example", phoneNumber: "+46701234567",
  streetAddress: "Storgatan 1", postalCode: "11122", city: "Stockholm", country: "SE",
};
const purchase = (idempotencyKey) => ({
  idempotencyKey, merchantReference: `ref-${idempotencyKey}`, billingAddress: address,
  purchaseCountry: "SE", purchaseLanguage: "SV",
  purchaseLines: [{ name: "Lamp", pricePerItem: 10000, quantity: 3, taxRate: 2500, totalAmount: 30000, totalTaxAmount: 6000 }],
  purchaseTotalAmount: 30000, purchaseTaxAmount: 6000,
});
const CREATE = gql`mutation Create($purchase: PurchaseOrderInput!) {
  newPurchaseOrderWithInvoice(purchase: $purchase) { id waitToken }
}`;
const READ = gql`query Read($id: String!) {
  purchaseOrders(where: { id: { _eq: $id } }) { id merchantReference resultingPurchaseId status { status } }
  purchases(where: { merchantReference: { _eq: "none" } }) { id }
}`;

const create = async (key) => {
  const variables = { purchase: purchase(key) };
  const { newPurchaseOrderWithInvoice: first } = await http(apiKey).request(CREATE, variables);
  const { newPurchaseOrderWithInvoice: again } = await http(apiKey).request(CREATE, variables);
  say("created", { ...first, again: again.waitToken === first.waitToken });
  return first;
};

// How a socket says who it is: in `connection_init`, as browsers have to, or in the header of its request.
const socketOf = (token, inHeader) => {
  const headers = { Authorization: `Bearer ${token}` };
  class WithHeader extends WebSocket {
    constructor(address, protocols) { super(address, protocols, { headers }); }
  }
  return createClient({
    url: url.replace("http", "ws"), retryAttempts: 0,
    webSocketImpl: inHeader ? WithHeader : WebSocket,
    connectionParams: inHeader ? {} : headers,
  });
};

// The statuses of an order until this one, as the subscription tells them.
const follow = async (name, token, last, inHeader = false) => {
  const client = socketOf(token, inHeader);
  const query = "subscription { purchaseOrders { id resultingPurchaseId status { status enteredAt } } }";
  for await (const { data, errors } of client.iterate({ query })) {
    if (errors) throw new Error(JSON.stringify(errors));
    const [order] = data.purchaseOrders;
    if (!order) continue;
    const [{ status }] = order.status;
    say("moved", { name, id: order.id, status, purchase: order.resultingPurchaseId });
    if (status === last) break;
  }
  await client.dispose();
};

const first = await create("client-1");
const second = await create("client-2");

// Each token reads its own order and no other, and creates none.
for (const [token, id] of [[first.waitToken, second.id], [second.waitToken, first.id], [first.waitToken, first.id]]) {
  const { purchaseOrders, purchases } = await http(token).request(READ, { id });
  say("read", { id, found: purchaseOrders.map((order) => order.id), purchases });
}
try {
  await http(first.waitToken).request(CREATE, { purchase: purchase("client-3") });
} catch (error) {
  if (!(error instanceof ClientError)) throw error;
  say("refused", { type: error.response.errors[0].extensions.type });
}
await socketOf("nobody", false).iterate({ query: "subscription { purchaseOrders { id } }" }).next()
  .then(() => say("closed", { code: 0 }), (event) => say("closed", { code: event.code }));

await Promise.all([
  follow("buyer", first.waitToken, "WAITING_FOR_CAPTURE"),
  follow("buyer with a header", second.waitToken, "CANCELLED", true),
]);
process.exit(0);
