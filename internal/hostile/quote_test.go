package hostile

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"testing"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// spoiler is hardware whose quotes change on their way.
type spoiler struct {
	*simulated.Platform
	change func(quote []byte) []byte
}

// Quote implements attest.Quoter.
func (s spoiler) Quote(ctx context.Context, data [64]byte) (*attest.Evidence, error) {
	e, err := s.Platform.Quote(ctx, data)
	if err == nil && s.change != nil {
		e.Quote = s.change(bytes.Clone(e.Quote))
	}
	return e, err
}

// Places in an SGX quote v3 (Intel's QuoteGenReference, appendix A.4).
const (
	atVendor    = 12
	atReport    = 48
	atData      = 48 + 320
	atLength    = 432 // of all that follows
	atSignature = 436
	atKey       = 436 + 64
	atQE        = 436 + 128
	atQESigned  = 436 + 128 + 384
	atAuth      = 436 + 128 + 384 + 64
)

func quotes(w *world) *table[spoiler] {
	const raw, inHex, inBase64 = "ctb inspect raw", "ctb inspect hex", "ctb inspect base64"
	unknown := but{raw: "got neither evidence", inHex: "got neither evidence", inBase64: "got neither evidence"}
	nothing := but{raw: "got nothing", inHex: "got nothing", inBase64: "got nothing",
		"attest.Appraise": "quote: not a byte string", "attest.ParseKeys": "quote: not a byte string"}
	change := func(f func(q []byte) []byte) spoiler { return spoiler{w.platform, f} }
	flip := func(at int) spoiler { return change(func(q []byte) []byte { q[at] ^= 1; return q }) }
	put := func(at int, b ...byte) spoiler { return change(func(q []byte) []byte { copy(q[at:], b); return q }) }
	broken := func(f simulated.Fault) spoiler {
		return spoiler{Platform: w.hardware(func(c *simulated.Config) { c.Fault = f })}
	}
	chain := func(q []byte) int { return bytes.Index(q, []byte("-----BEGIN")) }
	faults := []fault[spoiler]{
		// Its layout.
		{"empty", change(func([]byte) []byte { return nil }), "cut short at offset 0", nothing},
		{"four bytes", change(func(q []byte) []byte { return q[:4] }), "cut short at offset 4", nil},
		{"cut within the report", change(func(q []byte) []byte { return q[:200] }), "cut short at offset", nil},
		{"cut by one byte", change(func(q []byte) []byte { return q[:len(q)-1] }), "length of the signature section", nil},
		{"a byte behind", change(func(q []byte) []byte { return append(q, 0) }), "length of the signature section", nil},
		{"twice", change(func(q []byte) []byte { return append(q, q...) }), "length of the signature section", nil},
		{"over 64 KiB", change(func(q []byte) []byte { return append(q, make([]byte, 64<<10)...) }), "at most 65536", nil},
		{"all zeros behind the header", change(func(q []byte) []byte { clear(q[28:]); return q }), "signature section", nil},
		{"version 2", put(0, 2), "version: got 2", unknown},
		{"version 3 called 4", put(0, 4), "length of the certification data at offset 566", nil},
		{"version 3 called 5 of TDX", change(func(q []byte) []byte { q[0], q[4] = 5, 0x81; return q }), "body type at offset 48", nil},
		{"version 6", put(0, 6), "version: got 6", unknown},
		{"big-endian version", put(0, 0, 3), "version: got 768", unknown},
		{"key type P-384", put(2, 3), "attestation key type: got 3", unknown},
		{"TDX in version 3", put(4, 0x81), "reserved bytes at offset 4", nil},
		{"another vendor", flip(atVendor), "vendor of the quoting enclave", nil},
		{"signature section of 4 GiB", put(atLength, 0xff, 0xff, 0xff, 0xff), "length of the signature section", nil},
		{"signature section of none", put(atLength, 0, 0, 0, 0), "length of the signature section", nil},
		{"authentication data of 64 KiB", put(atAuth, 0xff, 0xff), "cut short at offset", nil},
		{"chain of another kind", change(func(q []byte) []byte { q[chain(q)-6] = 3; return q }), "got type 3", nil},
		{"chain of 4 GiB", change(func(q []byte) []byte { q[chain(q)-1] = 0xff; return q }), "length of the certification data", nil},
		{"chain of another PEM", change(func(q []byte) []byte { return bytes.Replace(q, []byte("BEGIN CERT"), []byte("BEGIN SECR"), 1) }), "PEM", nil},
		{"chain with text before", change(func(q []byte) []byte { q[chain(q)] = 'X'; return q }), "PEM", nil},

		// Its signatures.
		{"enclave's measurement changed", flip(atReport + 64), "not signed by its attestation key", nil},
		{"debug taken away", flip(atReport + 48), "not signed by its attestation key", nil},
		{"header changed", flip(30), "not signed by its attestation key", nil},
		{"signature changed", flip(atSignature), "not signed by its attestation key", nil},
		{"signature of zeros", put(atSignature, make([]byte, 64)...), "not signed by its attestation key", nil},
		{"attestation key changed", flip(atKey), "attestation key", nil},
		{"attestation key of zeros", put(atKey, make([]byte, 64)...), "attestation key", nil},
		{"quoting enclave changed", flip(atQE + 64), "not signed by the PCK", nil},
		{"quoting enclave's signature of zeros", put(atQESigned, make([]byte, 64)...), "not signed by the PCK", nil},
		{"authentication data changed", flip(atAuth + 2), "quoting enclave's report data", nil},
		{"by hardware under another root", spoiler{Platform: made(simulated.New(simulated.Config{Now: w.now}))}, "untrusted root", nil},

		// Its platform.
		{"platform's certificate forged", broken(simulated.PCKForged), "PCK certificate", nil},
		{"platform's certificate expired", broken(simulated.PCKExpired), "PCK certificate", nil},
		{"platform's certificate for later", broken(simulated.PCKNotYetValid), "PCK certificate", nil},
		{"platform's certificate of no platform", broken(simulated.PCKWithoutSGX), "PCK certificate", nil},
		{"platform's CA that is none", broken(simulated.PCKCANotCA), "CA", nil},
		{"platform below every level", broken(simulated.NoLevelReached), "level", nil},
		{"quoting enclave of another product", broken(simulated.QEOtherISVProdID), "quoting enclave: isvprodid", nil},
		{"quoting enclave that vouches for another key", broken(simulated.QEReportOfOtherKey), "quoting enclave's report data", nil},
		{"report data with a tail", broken(simulated.QEReportDataTail), "quoting enclave's report data", nil},
	}
	return &table[spoiler]{kind: "quote", good: spoiler{Platform: w.platform}, faults: faults, doors: quoteDoors(w)}
}

func quoteDoors(w *world) []door[spoiler] {
	quote := func(t *testing.T, q spoiler) []byte {
		t.Helper()
		return made(q.Quote(t.Context(), [64]byte{1})).Quote
	}
	inspect := func(form func([]byte) []byte) func(t *testing.T, q spoiler) answer {
		return func(t *testing.T, q spoiler) answer {
			return call(t, form(quote(t, q)), exits{1}, "ctb", "inspect", "-", "--json", "--root", w.path("root.pem"), "--collateral", w.path("collateral.json"))
		}
	}
	return []door[spoiler]{
		{name: "dcap.Verifier", open: func(t *testing.T, q spoiler) answer {
			v := dcap.Verifier{Root: w.platform.Root(), Collateral: w.platform.Collateral()}
			_, err := v.Verify(t.Context(), &attest.Evidence{Platform: "dcap", Quote: quote(t, q)}, w.now)
			return of(err)
		}},
		{name: "attest.Appraise", open: func(t *testing.T, q spoiler) answer {
			cert, err := attest.Certify(t.Context(), q, w.key.Private, w.binding(attest.UseSignature))
			if err != nil {
				return of(err)
			}
			_, err = attest.Appraise(t.Context(), cert, attest.DICE, w.attested().Platforms, w.now, w.now)
			return of(err)
		}},
		{name: "attest.ParseKeys", open: func(t *testing.T, q spoiler) answer {
			cert, err := attest.Certify(t.Context(), q, w.key.Private, w.binding(attest.UseSignature))
			if err != nil {
				return of(err)
			}
			keys, err := attest.ParseKeys(t.Context(), set(jwk(w.key, w.key.ID, cert.Raw)), w.attested())
			if err != nil {
				return of(err)
			}
			return usable(t, keys, w.token())
		}},
		{name: "ctb inspect raw", open: inspect(func(q []byte) []byte { return q })},
		{name: "ctb inspect hex", open: inspect(func(q []byte) []byte { return []byte(hex.EncodeToString(q)) })},
		{name: "ctb inspect base64", open: inspect(func(q []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(q)) })},
	}
}
