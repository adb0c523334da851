package attest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest"
)

func TestAttestationRoundTrip(t *testing.T) {
	cert := certify(t, newTEE(), newP256(t), binding())
	want := document(cert, []byte(`{"tcb_info":"a \" b < c","n":1.50}`))
	want.RulesDigest, want.Simulated = rules1, true
	text, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := attest.ParseAttestation(text)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, member := range []string{`"issuer":"` + issuer + `"`, `"rules_digest":"` + rules1 + `"`, `"simulated":true`, `"kid":"` + kidOf(cert) + `"`, `"use":"sig"`, `"x5c":["MII`, `"collateral":{"dcap":{`} {
		if !bytes.Contains(text, []byte(member)) {
			t.Errorf("no %s in %s", member, text)
		}
	}
	// What a later version adds is no concern of this one.
	later := bytes.Replace(text, []byte(`{"issuer"`), []byte(`{"nonce":{"a":[null]},"issuer"`), 1)
	if got, err = attest.ParseAttestation(later); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v and the error %v", got, err)
	}
}

func TestParseAttestationRefuses(t *testing.T) {
	const key = `{"kid":"k","use":"sig","x5c":["AA=="]}`
	for name, test := range map[string]struct{ text, want string }{
		"empty":                  {``, "not JSON"},
		"a list":                 {`[]`, "not a JSON object"},
		"null":                   {`null`, `no "issuer"`},
		"no issuer":              {`{"keys":[]}`, `no "issuer"`},
		"issuer is null":         {`{"issuer":null,"keys":[]}`, `no "issuer"`},
		"issuer is a number":     {`{"issuer":1,"keys":[]}`, "/issuer has the wrong type"},
		"issuer in capitals":     {`{"Issuer":"i","keys":[]}`, `no "issuer"`},
		"no keys":                {`{"issuer":"i"}`, `no "keys"`},
		"keys are null":          {`{"issuer":"i","keys":null}`, `no "keys"`},
		"keys are an object":     {`{"issuer":"i","keys":{}}`, "/keys has the wrong type"},
		"a key is null":          {`{"issuer":"i","keys":[null]}`, `keys[0]: no "kid"`},
		"a key without use":      {`{"issuer":"i","keys":[` + key + `,{"kid":"k","x5c":["AA=="]}]}`, `keys[1]: no "use"`},
		"a key without evidence": {`{"issuer":"i","keys":[{"kid":"k","use":"sig"}]}`, `keys[0]: no certificate in "x5c"`},
		"an empty certificate":   {`{"issuer":"i","keys":[{"kid":"k","use":"sig","x5c":[""]}]}`, `keys[0]: no certificate in "x5c"`},
		"x5c is a string":        {`{"issuer":"i","keys":[{"kid":"k","use":"sig","x5c":"AA=="}]}`, "/keys/0/x5c has the wrong type"},
		"x5c is not base64":      {`{"issuer":"i","keys":[{"kid":"k","use":"sig","x5c":["%"]}]}`, "/keys/0/x5c/0 has the wrong type"},
		"x5c is base64url":       {`{"issuer":"i","keys":[{"kid":"k","use":"sig","x5c":["-_8="]}]}`, "/keys/0/x5c/0 has the wrong type"},
		"more keys than a set":   {`{"issuer":"i","keys":[` + strings.Repeat(key+",", 100) + key + `]}`, "got 101 keys, want at most 100"},
		"simulated is a word":    {`{"issuer":"i","keys":[],"simulated":"no"}`, "/simulated has the wrong type"},
		"collateral is a list":   {`{"issuer":"i","keys":[],"collateral":[]}`, "/collateral has the wrong type"},
		"collateral is a string": {`{"issuer":"i","keys":[],"collateral":{"dcap":"x"}}`, `collateral of the platform "dcap": want an object`},
		"collateral is null":     {`{"issuer":"i","keys":[],"collateral":{"dcap":null}}`, "want an object"},
		"collateral of nobody":   {`{"issuer":"i","keys":[],"collateral":{"":{}}}`, "want an object"},
		"fresh is text":          {`{"issuer":"i","keys":[],"fresh":"x"}`, "/fresh has the wrong type"},
		"fresh of nobody":        {`{"issuer":"i","keys":[],"fresh":{"quote":"AA==","claims":"AA=="}}`, `fresh evidence: got platform ""`},
		"fresh without a quote":  {`{"issuer":"i","keys":[],"fresh":{"platform":"dcap","claims":"AA=="}}`, "got a quote of 0 bytes"},
		"fresh without claims":   {`{"issuer":"i","keys":[],"fresh":{"platform":"dcap","quote":"AA=="}}`, "got claims of 0 bytes"},
		"fresh quote is no text": {`{"issuer":"i","keys":[],"fresh":{"platform":"dcap","quote":"-_","claims":"AA=="}}`, "/fresh/quote has the wrong type"},
		"many platforms":         {`{"issuer":"i","keys":[],"collateral":{` + manyPlatforms(17) + `}}`, "got collateral of 17 platforms, want at most 16"},
		"a name twice":           {`{"issuer":"i","issuer":"j","keys":[]}`, "a member name stands twice"},
		"a platform twice":       {`{"issuer":"i","keys":[],"collateral":{"dcap":{},"dcap":{}}}`, "a member name stands twice"},
		"a name twice, inside":   {`{"issuer":"i","keys":[],"collateral":{"dcap":{"a":1,"a":2}}}`, "a member name stands twice"},
		"an unknown name twice":  {`{"issuer":"i","keys":[],"x":{"a":1,"a":2}}`, "a member name stands twice"},
		"text behind it":         {`{"issuer":"i","keys":[]} x`, "not JSON"},
		"not UTF-8":              {"{\"issuer\":\"\xff\",\"keys\":[]}", "not JSON"},
		"deep":                   {`{"issuer":"i","keys":[],"x":` + strings.Repeat("[", 100000) + `}`, "JSON"},
		"large":                  {`{"issuer":"i","keys":[]}` + strings.Repeat(" ", attest.MaxAttestation), "want at most 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := attest.ParseAttestation([]byte(test.text))
			wantError(t, err, "attestation document: ")
			wantError(t, err, test.want)
			if a != nil {
				t.Error("got a document beside the error")
			}
		})
	}
}

func manyPlatforms(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"p%d":{}`, i))
	}
	return strings.Join(list, ",")
}

// What could not be read is not written.
func TestMarshalAttestationRefuses(t *testing.T) {
	cert := certify(t, newTEE(), newP256(t), binding())
	for name, test := range map[string]struct {
		change func(*attest.Attestation)
		want   string
	}{
		"no issuer":                  {func(a *attest.Attestation) { a.Issuer = "" }, `no "issuer"`},
		"no keys":                    {func(a *attest.Attestation) { a.Keys = nil }, `no "keys"`},
		"a key without a name":       {func(a *attest.Attestation) { a.Keys[0].KeyID = "" }, `keys[0]: no "kid"`},
		"collateral that is blank":   {func(a *attest.Attestation) { a.Collateral["dcap"] = []byte(" ") }, "want an object"},
		"collateral that is no JSON": {func(a *attest.Attestation) { a.Collateral["dcap"] = []byte("{") }, "attestation document: "},
		"collateral that is large": {func(a *attest.Attestation) {
			a.Collateral["dcap"] = json.RawMessage(`{"a":"` + strings.Repeat("x", attest.MaxAttestation) + `"}`)
		}, "want at most 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			a := document(cert, []byte(`{}`))
			test.change(a)
			text, err := a.Marshal()
			if wantError(t, err, test.want); text != nil {
				t.Errorf("got %s", text)
			}
		})
	}
}

// What parses marshals to a text that says the same.
func FuzzParseAttestation(f *testing.F) {
	cert := certify(f, newTEE(), newP256(f), binding())
	f.Add(made(document(cert, []byte(`{"tcb_info":"a \" b"}`)).Marshal()))
	f.Add([]byte(`{"issuer":"i","keys":[],"rules_digest":"` + rules1 + `","simulated":true,"collateral":{"dcap":{"a":[1e400,"\ud800"]},"x":{}}}`))
	f.Add([]byte(`{"issuer":"\u0000<","keys":[{"kid":"k","use":"tls","x5c":["AA==","AQ=="]}],"later":null}`))
	f.Add([]byte(`{"issuer":"i","keys":[],"collateral":{"dcap": { "b" : 1 , "a" : -0 } }}`))
	f.Add([]byte(`{"issuer":"i","keys":[],"fresh":{"platform":"snp","quote":"AQ==","claims":"oA=="}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := attest.ParseAttestation(data)
		if err != nil {
			return
		}
		text, err := a.Marshal()
		if err != nil {
			t.Fatalf("%q parses and can't be written: %v", data, err)
		}
		again, err := attest.ParseAttestation(text)
		if err != nil {
			t.Fatalf("%q can't be read: %v", text, err)
		}
		if twice := made(again.Marshal()); !bytes.Equal(text, twice) {
			t.Fatalf("got %q, then %q", text, twice)
		}
		if again.Issuer != a.Issuer || again.RulesDigest != a.RulesDigest || again.Simulated != a.Simulated || !reflect.DeepEqual(again.Keys, a.Keys) || !reflect.DeepEqual(again.Fresh, a.Fresh) || len(again.Collateral) != len(a.Collateral) {
			t.Fatalf("got %+v, then %+v", a, again)
		}
	})
}
