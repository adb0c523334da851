package blackbox

import (
	"slices"
	"testing"
)

// row is a line of the specification's tables, or a demand that users of such gateways make.
type row struct {
	name, words string
	test        string // of this package, that shows it where no script does
}

// rows are all that must be shown. Each needs a script that covers it, in each profile.
var rows = []row{
	// Generations of the configuration.
	{name: "alpha10-whitelist", words: "authorization.whitelist_csv_path: the raw key in Authorization"},
	{name: "alpha11-whitelist", words: "auth.whitelist_path: X-API-Key"},
	{name: "alpha12-whitelist", words: "auth.whitelist: X-API-Key"},
	{name: "alpha12-jwt", words: "auth.jwt.{algorithm, public_key_path, claims}"},
	{name: "complete-config", words: "the proposal's complete config.yaml, with upstream; what is the upstream's is listed"},
	{name: "misspelt-key", words: "a key of a misspelt name is an error with its line"},
	{name: "algorithm-of-the-key", words: "no algorithm: the key's"},
	{name: "algorithm-narrows", words: "an explicit algorithm narrows it"},
	{name: "algorithm-never", words: "never HS*, never none"},
	{name: "value-type-case", words: "string and String"},
	{name: "both-modes", words: "both modes are an error that names both"},
	{name: "malformed-block", words: "a malformed block is an error"},
	{name: "missing-file", words: "a file that is not there is an error"},
	{name: "relative-paths", words: "relative to the file's folder"},

	// The whitelist.
	{name: "csv-columns", words: "columns by name, in any order"},
	{name: "csv-exact", words: "an exact match"},
	{name: "csv-hashed", words: "ApiKeySha256"},
	{name: "csv-empty-key", words: "an empty key is refused, with its line"},
	{name: "csv-duplicate", words: "a key that stands twice is refused, with its line"},
	{name: "csv-ragged", words: "a ragged row is refused, with its line"},
	{name: "reload-rename", words: "reload by atomic rename"},
	{name: "reload-symlink", words: "reload by symlink swap"},
	{name: "reload-truncate", words: "reload by truncate-then-write"},
	{name: "reload-garbage", words: "the last good stays, and the log tells"},
	{name: "reload-config", words: "the configuration is reloaded, no connection is dropped"},
	{name: "reload-keys", words: "keys are reloaded"},
	{name: "reload-load", words: "reloads under 100 requests a second: no wrong decision", test: "TestWhitelistUnderLoad"},

	// Claim rules.
	{name: "claims-none", words: "no claims: anything is accepted"},
	{name: "claims-present", words: "no values: the claim must be present"},
	{name: "claims-or", words: "one of values"},
	{name: "claims-and", words: "all claims"},
	{name: "claims-nested", words: "name nests on dots"},
	{name: "claim-string", words: "exact, case-sensitive"},
	{name: "claim-number", words: "a number is no string"},
	{name: "claim-bool", words: "a bool is no string"},
	{name: "claim-array", words: "an array is no string"},
	{name: "claim-object", words: "an object is no string"},
	{name: "claim-null", words: "null is no string"},
	{name: "claim-missing", words: "missing claim"},
	{name: "claim-other", words: "unexpected value, without it in the log"},
	{name: "claim-path", words: "a key with dots, by path"},
	{name: "value-types", words: "int, number, bool, string_array"},
	{name: "exp-leeway", words: "exp is always checked, with 60 s of leeway"},
	{name: "exp-huge", words: "exp of 2^64-1, floating, negative, string"},
	{name: "aud-unconfigured", words: "aud alone is no reason to refuse"},
	{name: "audience-issuer", words: "audience and issuer, where configured"},
	{name: "nbf", words: "nbf is honoured"},
	{name: "crit", words: "crit is refused"},

	// Requests and answers.
	{name: "key-missing", words: "whitelist: no key"},
	{name: "key-unknown", words: "whitelist: unknown key"},
	{name: "jwt-missing", words: "no Authorization"},
	{name: "jwt-scheme", words: "other scheme, or no token"},
	{name: "jwt-bad", words: "bad signature, algorithm, exp, format, claims"},
	{name: "jwt-good", words: "the right token"},
	{name: "disabled", words: "authorization disabled: all open"},
	{name: "paths-protected", words: "/, /healthcheck, /info, /session and unknown paths are protected"},
	{name: "healthcheck-open", words: "a setting opens /healthcheck"},
	{name: "notarize-unguarded", words: "/notarize is guarded by a session id"},
	{name: "preflight", words: "a preflight passes without a credential"},
	{name: "session-post", words: "POST /session"},
	{name: "notarize-upgrade", words: "GET /notarize with Upgrade"},
	{name: "notarize-busy", words: "503 with Retry-After: 5, the id is not used up"},
	{name: "notarize-unknown", words: "an unknown, used or expired id: 400"},
	{name: "sessions-hostile", words: "nothing but a fresh id of one's own opens /notarize"},
	{name: "sessions-last", words: "sessions and connections outlive a reload, but not their credential"},
	{name: "notarize-expired", words: "an expired id", test: "TestSessionExpires"},
	{name: "cors-every-answer", words: "CORS headers on every answer"},
	{name: "cors-reflects", words: "the preflight reflects the requested headers"},

	// Genuine traffic.
	{name: "browser-prover", words: "OPTIONS, POST /session, a WebSocket without Authorization"},
	{name: "rust-prover", words: "one connection, absolute-form targets, retries on 503"},
	{name: "speaks-first", words: "the server speaks first, after a 101 in a segment of its own"},
	{name: "bulk-websocket", words: "48 MB each way", test: "TestWebSocketBulk"},
	{name: "bulk-tcp", words: "a TCP session byte for byte, with half-close", test: "TestTCPBulk"},
	{name: "own-segment", words: "the 101 is flushed on its own", test: "TestSwitchingProtocolsAlone"},
	{name: "slot-freed", words: "a closed client frees its slot", test: "TestSlots"},

	// What users of such gateways ask for.
	{name: "keys-away", words: "keys that cannot be had are a 503, and nobody's fault who asks", test: "TestKeysAway"},
	{name: "kid-flood", words: "unknown kids: one fetch in 30 s", test: "TestKidFlood"},
	{name: "several-issuers", words: "several issuers and keys"},
	{name: "combine-any", words: "JWT and API keys during a migration"},
	{name: "token-places", words: "header, cookie, query, WebSocket protocol; never logged, never forwarded"},
	{name: "routes", words: "routes, rules, and what has no route is refused"},
	{name: "deny-rules", words: "a deny rule wins, and what cannot be compared is denied"},
	{name: "claim-headers", words: "claims as headers, the client's own stripped"},
	{name: "forward-token", words: "the token goes on where that is configured"},
	{name: "hostile-answers", words: "what an upstream says under the gateway's names does not count", test: "TestHostileAnswers"},
	{name: "envoy-gateway", words: "Envoy Gateway's documented example decides the same"},
	{name: "forwarded", words: "X-Forwarded-* and request ids are the gateway's"},
	{name: "limits", words: "limits of one identity"},
	{name: "environment", words: "NS_ and CTB_GATEWAY_ variables"},
	{name: "environment-claims", words: "claims in a variable, in the short form"},
	{name: "operation", words: "metrics, health and readiness"},
	{name: "authorize", words: "the same rules for other proxies"},
	{name: "duplicate-authorization", words: "two Authorization headers"},
	{name: "oversize-header", words: "oversize headers"},
	{name: "smuggling", words: "request smuggling"},
	{name: "smuggling-h2", words: "the same by HTTP/2", test: "TestHTTP2Shapes"},
	{name: "absolute-form", words: "absolute-form targets with another Host"},
	{name: "faults", words: "an upstream that is cut, slow or down", test: "TestUpstreamFaults"},
	{name: "back-pressure", words: "who does not read makes the other end wait", test: "TestBackPressure"},
	{name: "slow-client", words: "a client that sends a byte a second", test: "TestSlowClients"},
	{name: "idle-connections", words: "10,000 idle upgraded connections", test: "TestIdleConnections"},
}

// TestRows wants every row shown, in both profiles, and no script that covers what is no row.
func TestRows(t *testing.T) {
	shown := map[string][]string{} // profiles, by row
	for name, s := range scripts(t) {
		if len(s.covers) == 0 {
			t.Errorf("%s covers no row", name)
		}
		for _, r := range s.covers {
			if !slices.ContainsFunc(rows, func(known row) bool { return known.name == r }) {
				t.Errorf("%s covers %q, which is no row", name, r)
			}
			shown[r] = append(shown[r], s.profiles...)
		}
	}
	tests := testNames(t)
	for _, r := range rows {
		if r.test != "" {
			if !slices.Contains(tests, r.test) {
				t.Errorf("%s: there is no %s", r.name, r.test)
			}
			continue
		}
		for _, p := range profiles {
			if !slices.Contains(shown[r.name], p) {
				t.Errorf("no script shows %q (%s) under profile %s", r.name, r.words, p)
			}
		}
	}
}
