// Runs npm's @phala/dcap-qvl over a list of cases: JSON on stdin, JSON on stdout.
//
// in:  [{ quote: base64, collateral: {…}, root: base64 DER or null for Intel's, at: seconds since 1970 }]
// out: [{ status, advisories } or { error }]
"use strict";

const { QuoteVerifier } = require("@phala/dcap-qvl");

function judge({ quote, collateral, root, at }) {
  const verifier = root ? QuoteVerifier.newWithRootCa(Buffer.from(root, "base64")) : QuoteVerifier.newProd();
  try {
    const report = verifier.verify(Buffer.from(quote, "base64"), collateral, at);
    return { status: report.status, advisories: report.advisory_ids };
  } catch (e) {
    return { error: e.cause ? `${e.message}: ${e.cause.message}` : e.message };
  }
}

let input = "";
process.stdin.on("data", (chunk) => (input += chunk));
process.stdin.on("end", () => process.stdout.write(JSON.stringify(JSON.parse(input).map(judge))));
