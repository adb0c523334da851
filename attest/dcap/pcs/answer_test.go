package pcs

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestAnswersThatAreNone(t *testing.T) {
	good := issued(t, t0)
	say := func(header, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if header != "" {
				name, value, _ := strings.Cut(header, ": ")
				w.Header().Set(name, value)
			}
			fmt.Fprint(w, body)
			return true
		}
	}
	const goodChain = "TCB-Info-Issuer-Chain: -----BEGIN%20CERTIFICATE-----"
	signature := strings.Repeat("ab", 64)
	for name, c := range map[string]struct {
		fault func(http.ResponseWriter, *http.Request) bool
		want  string
	}{
		"a web page":                {of("/tcb", say("", "<html>Sign in</html>")), "header TCB-Info-Issuer-Chain is missing"},
		"a chain in base64":         {of("/tcb", say("TCB-Info-Issuer-Chain: MIICjT", "{}")), "want a chain of PEM certificates"},
		"a chain, badly encoded":    {of("/tcb", say("TCB-Info-Issuer-Chain: -----BEGIN%2", "{}")), "not URL-encoded"},
		"a chain with a NUL":        {of("/tcb", say(goodChain+"%00", "{}")), "want a chain of PEM certificates"},
		"no JSON":                   {of("/tcb", say(goodChain, "{")), "malformed JSON"},
		"a list":                    {of("/tcb", say(goodChain, "[]")), "want a JSON object"},
		"no TCB info":               {of("/tcb", say(goodChain, "{}")), `the object "tcbInfo"`},
		"TCB info that is a text":   {of("/tcb", say(goodChain, `{"tcbInfo":"{}","signature":"`+signature+`"}`)), `the object "tcbInfo"`},
		"no signature":              {of("/tcb", say(goodChain, `{"tcbInfo":{}}`)), "signature of 128 hex digits"},
		"a short signature":         {of("/tcb", say(goodChain, `{"tcbInfo":{},"signature":"ab"}`)), "signature of 128 hex digits"},
		"a signature, not in hex":   {of("/tcb", say(goodChain, `{"tcbInfo":{},"signature":"`+strings.Repeat("xy", 64)+`"}`)), "want hex digits"},
		"TCB info twice":            {of("/tcb", say(goodChain, `{"tcbInfo":{},"tcbInfo":{},"signature":"`+signature+`"}`)), "a name comes twice"},
		"TCB info in two spellings": {of("/tcb", say(goodChain, `{"tcbInfo":{},"TCBInfo":{},"signature":"`+signature+`"}`)), "a name comes twice"},
		"something behind it":       {of("/tcb", say(goodChain, `{"tcbInfo":{},"signature":"`+signature+`"} {}`)), "malformed JSON"},
		"too many members":          {of("/tcb", say(goodChain, "{"+manyMembers(17)+"}")), "more than 16 members"},
		"too much":                  {of("/tcb", say(goodChain, strings.Repeat(" ", maxAnswer+1))), "more than 524288 bytes"},
		"half of it": {of("/tcb", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", "1000")
			return say(goodChain, `{"tcbInfo":`)(w, r)
		}), "broke off after 11 bytes"},
		"a list of nothing":       {of("/rootcacrl", say("", "")), "want a certificate revocation list"},
		"a list in base64":        {of("/rootcacrl", say("", "MIIBIDCBxw==")), "want a certificate revocation list"},
		"a certificate":           {of("/rootcacrl", say("", good.TCBInfoIssuerChain)), "want a certificate revocation list"},
		"a list and more":         {of("/rootcacrl", say("", string(good.RootCACRL)+"0")), "want a certificate revocation list"},
		"a list without a chain":  {of("/pckcrl", say("", string(good.PCKCRL))), "header SGX-PCK-CRL-Issuer-Chain is missing"},
		"an identity without one": {of("/identity", say("", "{}")), "header SGX-Enclave-Identity-Issuer-Chain is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, good)
			s.fault = c.fault
			_, err := (&Client{URL: s.url, HTTP: s.client}).Collateral(t.Context(), sgx)
			wantError(t, err, c.want)
			var e *Error
			if !errors.As(err, &e) || e.Status != 0 {
				t.Errorf("got %+v, want an Error without a status", e)
			}
		})
	}
}

func manyMembers(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`"m%d":0`, i)
	}
	return strings.Join(all, ",")
}

// TestSignedBytesStayAsTheyCame: a signature is over one spelling.
func TestSignedBytesStayAsTheyCame(t *testing.T) {
	for _, spelling := range []string{
		`{}`, `{ }`, `{"b":1,"a":2}`, "{\"a\" :\t1.0e5,\r\n \"a\":\"\\u0041\\/\"}", `{"é":"<&>"}`, `{"n":123456789012345678901234567890}`,
	} {
		body := "\n { \"signature\" : \"" + strings.Repeat("0F", 64) + "\" , \"tcbInfo\" : " + spelling + "\t}\n"
		got, signature, err := cut([]byte(body), "tcbInfo")
		if err != nil || got != spelling || len(signature) != 64 || signature[0] != 15 {
			t.Errorf("got %q, %x, %v, want %q", got, signature, err, spelling)
		}
	}
}
