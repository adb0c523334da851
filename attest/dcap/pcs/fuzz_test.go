package pcs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/dcap"
)

// saying is a network whose every answer has this header and body.
type saying struct{ header, body string }

func (s saying) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	for _, name := range []string{"TCB-Info-Issuer-Chain", "SGX-Enclave-Identity-Issuer-Chain", "SGX-PCK-CRL-Issuer-Chain"} {
		w.Header()[name] = []string{s.header}
	}
	w.WriteString(s.body)
	return w.Result(), nil
}

// FuzzAnswer: whatever a service says to any question, there is an answer or an error; what is cut out
// of JSON is a piece of it, and the value that encoding/json finds there.
func FuzzAnswer(f *testing.F) {
	c := issued(f, t0)
	w := httptest.NewRecorder()
	setChain(w, "C", c.TCBInfoIssuerChain)
	chain := w.Header().Get("C")
	f.Add(chain, fmt.Appendf(nil, `{"tcbInfo":%s,"signature":"%x"}`, c.TCBInfo, c.TCBInfoSignature))
	f.Add(chain, fmt.Appendf(nil, "{ \"signature\": \"%x\",\n\"enclaveIdentity\": %s }", c.QEIdentitySignature, c.QEIdentity))
	f.Add(chain, c.PCKCRL)
	f.Add(chain, hexOf(c.RootCACRL))
	f.Add("%2d%", []byte("-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"))
	f.Add("", []byte(`{"tcbInfo":{"a":[{}]},"tcbinfo":1}`))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		b, err := parseBase("")
		if err != nil {
			t.Fatal(err)
		}
		client := &Client{HTTP: &http.Client{Transport: saying{header, string(body)}}}
		col := new(dcap.Collateral)
		got := map[string]bool{}
		for _, r := range []*request{tcbInfo(b, "", sgx, col), qeIdentity(b, "", sgx, col), pckCRL(b, sgx, col), rootCRL(b, "", col)} {
			got[r.what] = client.ask(context.Background(), r) == nil
		}
		if got["TCB info"] {
			wantPiece(t, body, "tcbInfo", col.TCBInfo)
		}
		if got["QE identity"] {
			wantPiece(t, body, "enclaveIdentity", col.QEIdentity)
		}
		if got["root CRL"] != (col.RootCACRL != nil) || got["PCK CRL"] && !bytes.Equal(col.PCKCRL, col.RootCACRL) {
			t.Errorf("got %v with the lists %x, %x", got, col.RootCACRL, col.PCKCRL)
		}
		if got["TCB info"] && !strings.HasPrefix(col.TCBInfoIssuerChain, "-----BEGIN CERTIFICATE-----") {
			t.Errorf("got the chain %q", col.TCBInfoIssuerChain)
		}
	})
}

func wantPiece(t *testing.T, body []byte, name, piece string) {
	t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		t.Fatalf("%q was read, but is no JSON: %v", body, err)
	}
	if string(all[name]) != piece || !bytes.Contains(body, []byte(piece)) {
		t.Errorf("cut out %q, want %q", piece, all[name])
	}
}

// FuzzQCNL: what is read is the file's, and errors name a line or a key.
func FuzzQCNL(f *testing.F) {
	f.Add([]byte(documented))
	f.Add([]byte("# x\r\nPCCS_URL=https://localhost:8081/sgx/certification/v3/\r\nUSE_SECURE_CERT=FALSE"))
	f.Add([]byte(`{"pccs_url":"a","use_secure_cert":false,"tcb_update_type":"early"}//`))
	f.Add([]byte(`/**/{"a":"\"/*","pccs_url":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := ParseQCNL(data)
		if err != nil {
			if q != nil || !strings.HasPrefix(err.Error(), "qcnl.conf: ") {
				t.Errorf("got %v, %v", q, err)
			}
			return
		}
		if _, err := q.URL(); err == nil && len(data) == 0 {
			t.Error("got a URL out of nothing")
		}
		// Comments out, and the same file says the same.
		if again, err := ParseQCNL(withoutComments(data)); bytes.HasPrefix(bytes.TrimSpace(withoutComments(data)), []byte("{")) && (err != nil || *again != *q) {
			t.Errorf("got %+v and, without comments, %+v, %v", q, again, err)
		}
	})
}
