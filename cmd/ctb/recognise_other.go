package main

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/rules"
)

// insteadOfCollateral says what data is that is no collateral, and which command reads that. It returns ""
// for collateral, good or bad, and for what a broker staples.
func insteadOfCollateral(data []byte) (what, fix string) {
	const inspects = `"ctb inspect" shows evidence, "ctb collateral fetch" gets the collateral for it`
	data = bytes.TrimSpace(data)
	if in, err := recognise(data); err == nil {
		switch {
		case in.evidence != nil:
			return "evidence", inspects
		case in.cert != nil:
			return "a certificate", inspects
		case in.keys != nil:
			return "a key set", inspects
		}
		return "", ""
	}
	if _, err := attest.ParsePolicy(data); err == nil {
		return "a policy", `"ctb policy check" reads it`
	}
	if _, err := rules.Parse(data); err == nil {
		return "a rule file", `"ctb rules check" reads it`
	}
	if strings.Count(string(data), ".") == 2 && bytes.HasPrefix(data, []byte("ey")) {
		return "a token", `"ctb verify" reads it`
	}
	return otherJSON(data)
}

// otherJSON is insteadOfCollateral of what nothing else recognises.
func otherJSON(data []byte) (what, fix string) {
	const wants = `want the JSON that "ctb collateral fetch" writes (of Intel's: dcap-qvl's QuoteCollateralV3), or a broker's /.well-known/attestation`
	var members map[string]json.RawMessage
	if len(data) == 0 {
		return "empty", wants
	}
	if err := json.Unmarshal(data, &members); err != nil {
		if data[0] == '{' {
			return "", "" // damaged; it may have been collateral
		}
		return "neither JSON nor evidence", wants
	}
	has := func(name string) bool { _, ok := members[name]; return ok }
	switch {
	case looksLikeCollateral(has) || has("keys") && has("issuer"):
		return "", ""
	case has("kty"):
		return "a single key", `"ctb inspect" reads a key set: {"keys": […]}`
	}
	return "JSON of another kind", wants
}
