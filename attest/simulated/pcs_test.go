package simulated_test

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// service is a PCS in front of the given platforms, whose clock stands at the instant of the tests.
func service(t *testing.T, platforms ...*simulated.Platform) (s *simulated.PCS, url string) {
	t.Helper()
	s = simulated.NewPCS(platforms...)
	s.Now = func() time.Time { return made }
	return s, serve(t, s)
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

func get(t *testing.T, url string) reply {
	t.Helper()
	r, err := ask(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ask(ctx context.Context, url string) (reply, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return reply{}, err
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 8<<20))
	return reply{response.StatusCode, response.Header, string(body)}, err
}

// fetched puts collateral together of what the service answers, as any client would.
func fetched(t *testing.T, base, kind, update string) *dcap.Collateral {
	t.Helper()
	c := new(dcap.Collateral)
	chain := func(r reply, name string) string {
		if r.status != http.StatusOK {
			t.Fatalf("%s: got status %d: %s", name, r.status, r.body)
		}
		text, err := url.PathUnescape(r.header.Get(name))
		if err != nil || !strings.HasPrefix(text, "-----BEGIN CERTIFICATE-----\n") {
			t.Fatalf("%s: got %q, %v", name, text, err)
		}
		return text
	}
	r := get(t, base+"/"+kind+"/certification/v4/tcb?fmspc="+simulated.FMSPC+update)
	c.TCBInfoIssuerChain = chain(r, "TCB-Info-Issuer-Chain")
	c.TCBInfo, c.TCBInfoSignature = signed(t, r.body, "tcbInfo")
	r = get(t, base+"/"+kind+"/certification/v4/qe/identity?"+strings.TrimPrefix(update, "&"))
	c.QEIdentityIssuerChain = chain(r, "SGX-Enclave-Identity-Issuer-Chain")
	c.QEIdentity, c.QEIdentitySignature = signed(t, r.body, "enclaveIdentity")
	r = get(t, base+"/sgx/certification/v4/pckcrl?ca=platform&encoding=der")
	c.PCKCRLIssuerChain, c.PCKCRL = chain(r, "SGX-PCK-CRL-Issuer-Chain"), []byte(r.body)
	c.RootCACRL = []byte(get(t, base+"/IntelSGXRootCA.der").body)
	return c
}

func signed(t *testing.T, body, name string) (string, []byte) {
	t.Helper()
	var all map[string]json.RawMessage
	var signature string
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(all["signature"], &signature); err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	return string(all[name]), raw
}

// number reads the evaluation number and the dates of a document.
func number(t *testing.T, document string) (n int, issued, next time.Time) {
	t.Helper()
	var d struct {
		Number     int       `json:"tcbEvaluationDataNumber"`
		IssueDate  time.Time `json:"issueDate"`
		NextUpdate time.Time `json:"nextUpdate"`
	}
	if err := json.Unmarshal([]byte(document), &d); err != nil {
		t.Fatal(err)
	}
	return d.Number, d.IssueDate, d.NextUpdate
}

// TestServiceJudgesAPlatform: what the service answers verifies the platform's evidence, at once and 29 days later.
func TestServiceJudgesAPlatform(t *testing.T) {
	p := platform(t, simulated.Config{Status: tee.OutOfDate})
	s, base := service(t, p)
	e := quote(t, p, [64]byte{1})
	e.Collateral = nil
	for _, day := range []int{0, 29, 58} {
		at := made.AddDate(0, 0, day)
		s.Now = func() time.Time { return at }
		c := fetched(t, base, "sgx", "")
		r, err := (&dcap.Verifier{Root: p.Root(), Collateral: c}).Verify(t.Context(), e, at.Add(29*24*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if r.TCB.Status != tee.OutOfDate {
			t.Errorf("day %d: got %s, want OutOfDate", day, r.TCB.Status)
		}
		if n, issued, next := number(t, c.TCBInfo); n != simulated.EvaluationNumber || !issued.Equal(at) || !next.Equal(at.Add(30*24*time.Hour)) {
			t.Errorf("day %d: got number %d, from %v to %v", day, n, issued, next)
		}
	}
}

func TestServiceTellsOfARevokedPlatform(t *testing.T) {
	for _, c := range []simulated.Config{{Fault: simulated.PCKRevoked}, {Fault: simulated.PCKRevoked, TEE: "tdx"}} {
		_, base := service(t, platform(t, c))
		list, err := x509.ParseRevocationList([]byte(get(t, base+"/sgx/certification/v4/pckcrl?ca=platform&encoding=der").body))
		if err != nil || len(list.RevokedCertificateEntries) != 4 {
			t.Errorf("%s: got %d entries and error %v, want the revoked PCK and three others", c.TEE, len(list.RevokedCertificateEntries), err)
		}
	}
}

func TestServiceHasEditions(t *testing.T) {
	s, base := service(t, platform(t, simulated.Config{}))
	s.Publish(20)
	for query, want := range map[string]struct{ status, number int }{
		"":                                         {200, 20},
		"&update=standard":                         {200, 20},
		"&update=early":                            {200, 21},
		"&tcbEvaluationDataNumber=19":              {200, 19},
		"&tcbEvaluationDataNumber=20":              {200, 20},
		"&tcbEvaluationDataNumber=21":              {200, 21},
		"&tcbEvaluationDataNumber=18":              {410, 0},
		"&tcbEvaluationDataNumber=22":              {404, 0},
		"&tcbEvaluationDataNumber=99999999999":     {404, 0},
		"&tcbEvaluationDataNumber=x":               {400, 0},
		"&update=late":                             {400, 0},
		"&update=early&tcbEvaluationDataNumber=20": {400, 0},
	} {
		for _, path := range []string{"sgx/certification/v4/tcb", "tdx/certification/v4/tcb", "sgx/certification/v4/qe/identity", "tdx/certification/v4/qe/identity"} {
			r := get(t, base+"/"+path+"?fmspc="+strings.ToUpper(simulated.FMSPC)+query)
			if r.status != want.status {
				t.Errorf("%s%s: got status %d, want %d", path, query, r.status, want.status)
				continue
			}
			if r.status != http.StatusOK {
				continue
			}
			name := map[bool]string{true: "tcbInfo", false: "enclaveIdentity"}[strings.HasSuffix(path, "tcb")]
			document, _ := signed(t, r.body, name)
			if n, _, _ := number(t, document); n != want.number {
				t.Errorf("%s%s: got number %d, want %d", path, query, n, want.number)
			}
		}
	}
}

func TestServiceAnswersAsIntelsDoes(t *testing.T) {
	_, base := service(t, platform(t, simulated.Config{}))
	for _, c := range []struct {
		path        string
		status      int
		contentType string
		header      string // which must be there
	}{
		{"/sgx/certification/v4/tcb?fmspc=" + simulated.FMSPC, 200, "application/json", "TCB-Info-Issuer-Chain"},
		{"/tdx/certification/v4/tcb?fmspc=" + simulated.FMSPC, 200, "application/json", "TCB-Info-Issuer-Chain"},
		{"/sgx/certification/v4/qe/identity", 200, "application/json", "SGX-Enclave-Identity-Issuer-Chain"},
		{"/tdx/certification/v4/qe/identity?update=early", 200, "application/json", "SGX-Enclave-Identity-Issuer-Chain"},
		{"/sgx/certification/v4/pckcrl?ca=processor", 200, "application/x-pem-file", "SGX-PCK-CRL-Issuer-Chain"},
		{"/sgx/certification/v4/pckcrl?ca=platform&encoding=pem", 200, "application/x-pem-file", "SGX-PCK-CRL-Issuer-Chain"},
		{"/sgx/certification/v4/pckcrl?ca=platform&encoding=der", 200, "application/pkix-crl", "SGX-PCK-CRL-Issuer-Chain"},
		{"/sgx/certification/v4/rootcacrl", 200, "application/pkix-crl", ""},
		{"/IntelSGXRootCA.der", 200, "application/pkix-crl", ""},
		{"/sgx/certification/v4/tcb", 400, "", "Error-Code"},
		{"/sgx/certification/v4/tcb?fmspc=f0c7b0de000", 400, "", "Error-Message"},
		{"/sgx/certification/v4/tcb?fmspc=ffffffffffff", 404, "", ""},
		{"/sgx/certification/v4/pckcrl", 400, "", "Error-Code"},
		{"/sgx/certification/v4/pckcrl?ca=root", 400, "", "Error-Code"},
		{"/sgx/certification/v4/pckcrl?ca=platform&encoding=hex", 400, "", "Error-Code"},
	} {
		r := get(t, base+c.path)
		if r.status != c.status || r.header.Get("Content-Type") != c.contentType {
			t.Errorf("%s: got status %d, %q, want %d, %q", c.path, r.status, r.header.Get("Content-Type"), c.status, c.contentType)
		}
		if c.header != "" && r.header.Get(c.header) == "" {
			t.Errorf("%s: header %s is missing", c.path, c.header)
		}
		if r.header.Get("Request-ID") == "" {
			t.Errorf("%s: header Request-ID is missing", c.path)
		}
		if c.status != 200 && r.body != "" {
			t.Errorf("%s: got the body %q, want none", c.path, r.body)
		}
	}
	for _, path := range []string{"/", "/sgx/certification/v4/", "/sgx/certification/v3/tcb?fmspc=" + simulated.FMSPC, "/tdx/certification/v4/pckcrl?ca=platform", "/sgx/certification/v5/tcb"} {
		if r := get(t, base+path); r.status != 404 || r.header.Get("Request-ID") != "" {
			t.Errorf("%s: got status %d, want 404 of no route", path, r.status)
		}
	}
}

func TestServiceAnswersAsAPCCSDoes(t *testing.T) {
	s, _ := service(t, platform(t, simulated.Config{}))
	base := serve(t, s.PCCS())

	r := get(t, base+"/sgx/certification/v3/tcb?fmspc="+simulated.FMSPC)
	if r.header.Get("SGX-TCB-Info-Issuer-Chain") == "" || r.header.Get("TCB-Info-Issuer-Chain") != "" {
		t.Errorf("v3: got the headers %v", r.header)
	}
	var d struct {
		Version int `json:"version"`
	}
	document, _ := signed(t, r.body, "tcbInfo")
	if err := json.Unmarshal([]byte(document), &d); err != nil || d.Version != 2 {
		t.Errorf("v3: got TCB info version %d, %v, want 2", d.Version, err)
	}
	for _, path := range []string{"/sgx/certification/v3/pckcrl?ca=PLATFORM&encoding=der", "/sgx/certification/v3/rootcacrl", "/sgx/certification/v4/rootcacrl"} {
		der, err := hex.DecodeString(get(t, base+path).body)
		if err == nil {
			_, err = x509.ParseRevocationList(der)
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if block, _ := pem.Decode([]byte(get(t, base+"/sgx/certification/v4/pckcrl?ca=platform").body)); block == nil || block.Type != "X509 CRL" {
		t.Error("v4: the PCK CRL is not PEM")
	}
	for path, want := range map[string]reply{
		"/sgx/certification/v4/tcb?fmspc=ffffffffffff": {status: 404, body: "No cache data for this platform."},
		"/sgx/certification/v4/tcb?fmspc=x":            {status: 400, body: "Invalid request parameters."},
		"/sgx/certification/v3/pckcrl?ca=root":         {status: 400, body: "Invalid request parameters."},
	} {
		if r := get(t, base+path); r.status != want.status || r.body != want.body {
			t.Errorf("%s: got %d %q, want %d %q", path, r.status, r.body, want.status, want.body)
		}
	}
	s.Fail(simulated.PCSUncertified)
	if r := get(t, base+"/sgx/certification/v4/qe/identity"); r.status != 462 || r.body != "Certificates are not available for certain TCBs." {
		t.Errorf("uncertified: got %d %q", r.status, r.body)
	}
}

// FuzzPCS: whatever is asked, the answer is one of those that the services have.
func FuzzPCS(f *testing.F) {
	for _, target := range []string{
		"/sgx/certification/v4/tcb?fmspc=" + simulated.FMSPC, "/tdx/certification/v4/tcb?fmspc=ffffffffffff&update=early",
		"/sgx/certification/v3/qe/identity?tcbEvaluationDataNumber=16", "/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
		"/sgx/certification/v3/rootcacrl", "/IntelSGXRootCA.der", "/sgx/certification/v4/../v4/tcb?fmspc=%zz&;", "//",
	} {
		f.Add(target, true)
		f.Add(target, false)
	}
	p := platform(f, simulated.Config{})
	f.Fuzz(func(t *testing.T, target string, cached bool) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Skip()
		}
		s := simulated.NewPCS(p)
		s.Now = func() time.Time { return made }
		h := http.Handler(s)
		if cached {
			h = s.PCCS()
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, (&http.Request{Method: http.MethodGet, URL: u}).WithContext(t.Context()))
		switch w.Code {
		case 200, 400, 404, 410:
		default:
			t.Errorf("%q: got status %d: %s", target, w.Code, w.Body)
		}
	})
}

func BenchmarkPCS(b *testing.B) {
	s := simulated.NewPCS(platform(b, simulated.Config{}))
	s.Now = func() time.Time { return made }
	r := httptest.NewRequest(http.MethodGet, "/sgx/certification/v4/tcb?fmspc="+simulated.FMSPC, nil)
	for b.Loop() {
		s.ServeHTTP(httptest.NewRecorder(), r)
	}
}
