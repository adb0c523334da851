package attest_test

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/confidential-token-broker/ctb/attest"
)

type extension = pkix.Extension

var oidCMW = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 35}

// The sizes of a report of SEV-SNP (AMD publication 56860, table ATTESTATION_REPORT), and of a document of Nitro.
const (
	snpReport     = 1184
	nitroDocument = 4500
)

// Evidence of other platforms vouches for what Intel's does: the same claims, in another extension.
func TestCertifyOtherPlatforms(t *testing.T) {
	for platform, size := range map[string]int{"snp": snpReport, "nitro": nitroDocument} {
		t.Run(platform, func(t *testing.T) {
			hardware := newOther(platform, size)
			want := binding()
			want.Nonce, want.Names = make([]byte, 64), []string{"broker.example.com"}
			cert := certify(t, hardware, newP256(t), want)
			if got := attest.Schemes(cert); !slices.Equal(got, []string{attest.DICE}) {
				t.Errorf("got schemes %v", got)
			}
			i := slices.IndexFunc(cert.Extensions, func(e extension) bool { return e.Id.Equal(oidCMW) })
			if i < 0 || cert.Extensions[i].Critical || slices.ContainsFunc(cert.Extensions, func(e extension) bool { return e.Id.Equal(oidDICE) }) {
				t.Fatalf("got extensions %v, want the wrapper's, not critical, and not DICE's", cert.Extensions)
			}
			a, err := attest.Appraise(t.Context(), cert, attest.DICE, []attest.Verifier{newTEE(), hardware}, day(1), day(1))
			if err != nil {
				t.Fatal(err)
			}
			if b := a.Binding; b.Scheme != attest.DICE || b.Issuer != issuer || b.RulesDigest != want.RulesDigest || !b.Expires.Equal(day(2)) || !bytes.Equal(b.Nonce, want.Nonce) {
				t.Errorf("got %+v", b)
			}
			critical := *cert // as who writes it may have it
			critical.UnhandledCriticalExtensions = []asn1.ObjectIdentifier{oidCMW}
			if _, err := attest.Appraise(t.Context(), &critical, attest.DICE, platforms(hardware), day(1), day(1)); err != nil {
				t.Error(err)
			}
			_, err = attest.Appraise(t.Context(), cert, attest.DICE, platforms(newTEE()), day(1), day(1))
			wantError(t, err, `no verifier for evidence of platform "`+platform+`"`)
			_, err = attest.Appraise(t.Context(), cert, attest.Original, []attest.Verifier{hardware}, day(1), day(1))
			wantError(t, err, "no evidence by the scheme original, only by dice")

			// A policy names no extension: what it accepts is the build.
			c := attest.Config{Policy: anyPolicy(), Platforms: []attest.Verifier{newTEE(), hardware}, Now: newClock(day(1)).now}
			set := made(attest.ParseKeys(t.Context(), jwkSet(jwk(t, cert)), c))
			if _, err := set.Key(t.Context(), kidOf(cert)); err != nil {
				t.Error(err)
			}
		})
	}
}

// The wrapper's form, written here by other code than Certify's, and one fault each.
func TestWrapperForm(t *testing.T) {
	hardware := newOther("snp", snpReport)
	wrap := func(content any) any {
		return []any{"application/vnd.ctb.evidence+cbor", encode(content), 4}
	}
	der := func(record any) []byte { return made(asn1.Marshal(encode(record))) }
	for name, test := range map[string]struct {
		value func(quote, claims []byte) []byte
		also  []extension
		want  string // empty: it is good
	}{
		"as it should be":     {value: func(q, c []byte) []byte { return der(wrap([]any{"snp", q, c})) }},
		"both extensions":     {value: func(q, c []byte) []byte { return der(wrap([]any{"snp", q, c})) }, also: []extension{{Id: oidDICE, Value: []byte{0}}}, want: "want one of the two"},
		"twice":               {value: func(q, c []byte) []byte { return der(wrap([]any{"snp", q, c})) }, also: []extension{{Id: oidCMW, Value: []byte{0}}}, want: "got 2 extensions 1.3.6.1.5.5.7.1.35"},
		"empty":               {value: func(q, c []byte) []byte { return nil }, want: "wrapper: asn1"},
		"not in DER":          {value: func(q, c []byte) []byte { return encode(wrap([]any{"snp", q, c})) }, want: "wrapper: "},
		"in JSON":             {value: func(q, c []byte) []byte { return made(asn1.MarshalWithParams("[]", "utf8")) }, want: "got the ASN.1 tag 12 of class 0, want an OCTET STRING"},
		"in parts":            {value: func(q, c []byte) []byte { return []byte{0x24, 0x02, 0x04, 0x00} }, want: "want an OCTET STRING"},
		"bytes behind it":     {value: func(q, c []byte) []byte { return append(der(wrap([]any{"snp", q, c})), 0) }, want: "not in deterministic form"},
		"bytes behind inside": {value: func(q, c []byte) []byte { return made(asn1.Marshal(append(encode(wrap([]any{"snp", q, c})), 0))) }, want: "extraneous data"},
		"a long length":       {value: func(q, c []byte) []byte { return longer(der(wrap([]any{"snp", q, c}))) }, want: "wrapper: asn1"},
		"a CBOR tag":          {value: func(q, c []byte) []byte { return der(cbor.Tag{Number: 1668547081, Content: []byte{0}}) }, want: "wrapper: cbor"},
		"a collection":        {value: func(q, c []byte) []byte { return der(map[string]any{"a": wrap([]any{"snp", q, c})}) }, want: "wrapper: cbor"},
		"no indicator":        {value: func(q, c []byte) []byte { return der(wrap([]any{"snp", q, c}).([]any)[:2]) }, want: "got an array of 2, want 3 items"},
		"more than a record":  {value: func(q, c []byte) []byte { return der(append(wrap([]any{"snp", q, c}).([]any), 0)) }, want: "got an array of 4"},
		"endorsements": {value: func(q, c []byte) []byte {
			return der([]any{"application/vnd.ctb.evidence+cbor", encode([]any{"snp", q, c}), 2})
		}, want: "with the indicator 2, want"},
		"another's evidence": {value: func(q, c []byte) []byte { return der([]any{"application/eat+cwt", encode([]any{"snp", q, c}), 4}) }, want: `got type "application/eat+cwt"`},
		"a content format":   {value: func(q, c []byte) []byte { return der([]any{10000, encode([]any{"snp", q, c}), 4}) }, want: "wrapper: cbor"},
		"content not wrapped": {value: func(q, c []byte) []byte {
			return der([]any{"application/vnd.ctb.evidence+cbor", []any{"snp", q, c}, 4})
		}, want: "wrapper: "},
		"no claims": {value: func(q, c []byte) []byte { return der(wrap([]any{"snp", q})) }, want: "got an array of 2"},
		"endless content": {value: func(q, c []byte) []byte {
			return der([]any{"application/vnd.ctb.evidence+cbor", []byte{0x9f, 0xff}, 4})
		}, want: "indefinite-length"},
		"Intel's evidence":      {value: func(q, c []byte) []byte { return der(wrap([]any{"dcap", q, c})) }, want: `got platform "dcap", whose evidence has the extension 2.23.133.5.4.9`},
		"no platform":           {value: func(q, c []byte) []byte { return der(wrap([]any{"", q, c})) }, want: `got platform "", want a name such as "snp" or "nitro"`},
		"an odd name":           {value: func(q, c []byte) []byte { return der(wrap([]any{"snp\n", q, c})) }, want: `got platform "snp\n"`},
		"a long name":           {value: func(q, c []byte) []byte { return der(wrap([]any{string(bytes.Repeat([]byte("a"), 33)), q, c})) }, want: "want a name such as"},
		"an unknown platform":   {value: func(q, c []byte) []byte { return der(wrap([]any{"cca", q, c})) }, want: `no verifier for evidence of platform "cca"`},
		"another's platform":    {value: func(q, c []byte) []byte { return der(wrap([]any{"nitro", q, c})) }, want: `no verifier for evidence of platform "nitro"`},
		"an empty quote":        {value: func(q, c []byte) []byte { return der(wrap([]any{"snp", []byte{}, c})) }, want: "the quote is empty"},
		"empty claims":          {value: func(q, c []byte) []byte { return der(wrap([]any{"snp", q, []byte{}})) }, want: "claims: EOF"},
		"claims of another key": {value: func(q, c []byte) []byte { return der(wrap([]any{"snp", q, foreignClaims(t)})) }, want: "bound to something else"},
		"a quote as text":       {value: func(q, c []byte) []byte { return der(wrap([]any{"snp", "quote", c})) }, want: "cbor"},
		"a quote as numbers":    {value: func(q, c []byte) []byte { return der(wrap([]any{"snp", []int{1, 2}, c})) }, want: "not in deterministic form"},
		"a quote of 64 KiB":     {value: func(q, c []byte) []byte { return der(wrap([]any{"snp", make([]byte, 64<<10), c})) }, want: "want at most 65536"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForgery(t)
			f.tee = hardware
			f.wrapped = test.value
			f.template.ExtraExtensions = nil
			cert := f.certificate(t)
			cert.Extensions = append(cert.Extensions, test.also...) // which the parser would not let through, if it is twice the same
			_, err := attest.Appraise(t.Context(), cert, attest.DICE, platforms(hardware), day(1), day(1))
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, test.want)
		})
	}
}

// longer writes the length of a DER value of 256 to 65535 bytes with a byte more than it needs.
func longer(der []byte) []byte {
	return append([]byte{der[0], der[1] + 1, 0}, der[2:]...)
}

// foreignClaims are well-formed ones of another key.
func foreignClaims(t testing.TB) []byte {
	cert := certify(t, newTEE(), newP256(t), binding())
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(oidDICE) {
			_, claims := untag(t, ext.Value)
			return claims
		}
	}
	t.Fatal("no evidence")
	return nil
}
