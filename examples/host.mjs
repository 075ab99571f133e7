// A host in JavaScript, without dependencies, over the Unix socket of a world that `tally serve` serves.
//
//   tally -w demo init && tally -w demo apply team.toml && tally -w demo serve &
//   node host.mjs demo
import http from "node:http";
import { randomBytes } from "node:crypto";

const socketPath = `${process.argv[2]}/serve.sock`;

function ask(method, path, document) {
  return new Promise((resolve, reject) => {
    const request = http.request({ socketPath, method, path }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece) => (text += piece));
      response.on("end", () => {
        const answer = JSON.parse(text);
        response.statusCode === 200 ? resolve(answer) : reject(new Error(`${answer.code}: ${answer.detail}`));
      });
    });
    request.on("error", reject).end(document && JSON.stringify(document));
  });
}

const intent = {
  kind: "llm.generate", grant: "cap_llm", params: { model: "m", max_tokens: 50 },
  key: `order-${process.argv[3] ?? "1"}`, attempt: randomBytes(16).toString("hex"), // kept across retries
};
console.log(`would be ${(await ask("POST", "/v1/decide", { intent })).outcome}`);
const decision = await ask("POST", "/v1/intents", intent);
if (!decision.allowed) throw new Error(`${decision.outcome}: ${decision.reason}; ${decision.advice}`);
console.log(`${decision.outcome}, reserves ${decision.reserve.tokens} tokens`);

const payload = { prompt_tokens: 10, completion_tokens: 20 }; // the model is called here
const receipt = { intent_hash: decision.intent_hash, status: "ok", adapter_id: "host.mjs", payload };
const settled = await ask("POST", "/v1/receipts", receipt);
console.log(`${settled.status}, used ${settled.usage.tokens} tokens`);
console.log((await ask("GET", `/v1/intents/${decision.intent_hash}`)).status);
