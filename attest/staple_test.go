package attest_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// document is an attestation document with this collateral for Intel's platforms.
func document(cert *x509.Certificate, collateral []byte) *attest.Attestation {
	return &attest.Attestation{
		Issuer: issuer, Keys: []attest.AttestedKey{{KeyID: kidOf(cert), Use: attest.UseSignature, Certificates: [][]byte{cert.Raw}}},
		Collateral: map[string]json.RawMessage{"dcap": collateral},
	}
}

// answer is a handler that answers with a body.
func answer(status int, contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		w.Write(body)
	}
}

func answerJSON(body []byte) http.HandlerFunc { return answer(200, "application/json", body) }

func (b *broker) setStaple(h http.HandlerFunc) {
	if h == nil {
		b.staple.Store(nil)
		return
	}
	b.staple.Store(&h)
}

// simulatedPolicy accepts every simulated build.
func simulatedPolicy() *attest.Policy {
	return &attest.Policy{
		Builds:        []attest.Build{{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": simulated.DevMRENCLAVE[:]}}},
		SimulatedRoot: "root.pem",
	}
}

// stapled is a broker on simulated hardware, and who has nothing but the root to verify it with, or collateral too.
type stapled struct {
	*broker
	hardware *simulated.Platform
	cert     *x509.Certificate
	now      *clock
}

func newStapled(t *testing.T) *stapled {
	s := &stapled{broker: newBroker(t), now: newClock(day(1))}
	s.hardware, _ = machine(t, simulated.Config{})
	bound := binding()
	bound.Issuer, bound.Expires = s.URL, day(60)
	s.cert = made(attest.Certify(t.Context(), s.hardware, newP256(t), bound))
	s.publish(jwk(t, s.cert))
	s.setStaple(s.good())
	return s
}

func (s *stapled) good() http.HandlerFunc {
	return answerJSON(made(document(s.cert, s.hardware.Collateral().Marshal()).Marshal()))
}

// config is that of a verifier with this source of collateral, or none.
func (s *stapled) config(source dcap.Source) attest.Config {
	return attest.Config{
		URL: s.URL, Policy: simulatedPolicy(), Client: s.Client(), Now: s.now.now,
		Platforms: []attest.Verifier{&dcap.Verifier{Root: s.hardware.Root(), Collateral: source}},
	}
}

// later makes the key set fetch.
func (s *stapled) later(t *testing.T, set *attest.KeySet) {
	t.Helper()
	s.now.advance(11 * time.Minute)
	set.Refresh(t.Context(), 0)
}

// A verifier with no way to the hardware's maker verifies an attested key set by the staple alone.
func TestStapleAlone(t *testing.T) {
	s := newStapled(t)
	set := made(attest.NewKeySet(s.config(nil)))
	if _, err := set.Key(t.Context(), kidOf(s.cert)); err != nil {
		t.Fatal(err)
	}
	if n := s.asked.Load(); n != 1 {
		t.Errorf("asked %d times for one staple", n)
	}
	// The verdict goes with the staple's collateral, which is valid from day 0 to day 31.
	s.setStaple(nil)
	s.now.set(day(31).Add(time.Second))
	_, err := set.Key(t.Context(), kidOf(s.cert))
	wantError(t, err, "no collateral, neither with the evidence nor from the verifier")
}

// outage is a source that can't be asked.
type outage struct{}

func (outage) Collateral(context.Context, dcap.Platform) (*dcap.Collateral, error) {
	return nil, errors.New("connection refused")
}

// Whatever is served as a staple: where there is a source, it does no harm;
// where there is none, it makes nothing acceptable and takes no key away that was trusted.
func TestStapleHostile(t *testing.T) {
	s := newStapled(t)
	genuine := made(document(s.cert, s.hardware.Collateral().Marshal()).Marshal())
	stranger, err := simulated.New(simulated.Config{Seed: bytes.Repeat([]byte{2}, 32), Now: day(1)})
	if err != nil {
		t.Fatal(err)
	}
	collateral := func(c *dcap.Collateral) http.HandlerFunc {
		return answerJSON(made(document(s.cert, c.Marshal()).Marshal()))
	}
	of := func(f simulated.Fault) http.HandlerFunc {
		p, _ := machine(t, simulated.Config{Fault: f})
		return collateral(p.Collateral())
	}
	tdx, _ := machine(t, simulated.Config{TEE: "tdx"})
	processor, _ := machine(t, simulated.Config{CA: "processor"})
	forged := s.hardware.Collateral()
	forged.TCBInfo = strings.Replace(forged.TCBInfo, "Revoked", "UpToDate", 1)
	tests := map[string]struct {
		staple http.HandlerFunc
		want   string // in the error, of who has no source
	}{
		"none":                            {nil, "no collateral"},
		"an error":                        {answer(500, "application/json", genuine), "got status 500, want 200"},
		"forbidden":                       {answer(403, "application/json", genuine), "got status 403, want 200"},
		"a page":                          {answer(200, "text/html", []byte("<html>log in</html>")), "got a web page"},
		"nothing":                         {answerJSON(nil), "not JSON"},
		"no object":                       {answerJSON([]byte(`[]`)), "not a JSON object"},
		"half of it":                      {answerJSON(genuine[:len(genuine)/2]), "not JSON"},
		"text behind it":                  {answerJSON(append(bytes.Clone(genuine), '{')), "not JSON"},
		"larger than a document may be":   {answerJSON(append(bytes.Clone(genuine), bytes.Repeat([]byte(" "), attest.MaxAttestation)...)), "answer has more than 1048576 bytes"},
		"a connection that breaks":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		"a name twice":                    {answerJSON(bytes.Replace(genuine, []byte(`{"issuer"`), []byte(`{"keys":[],"issuer"`), 1)), "a member name stands twice"},
		"of no platform":                  {answerJSON([]byte(`{"issuer":"https://b.example","keys":[]}`)), "no collateral"},
		"of a platform of another kind":   {answerJSON(bytes.Replace(genuine, []byte(`"dcap":`), []byte(`"snp":`), 1)), "no collateral"},
		"that is no collateral":           {answerJSON([]byte(`{"issuer":"https://b.example","keys":[],"collateral":{"dcap":{}}}`)), "collateral: "},
		"without an end":                  {redirect(func() string { return s.URL + attest.WellKnownAttestation }), "more than 3 redirects"},
		"that leads to plain http":        {redirect(func() string { return "http://broker.example.com/" }), "redirect from https to http"},
		"of another root":                 {collateral(stranger.Collateral()), "root"},
		"of another TEE":                  {collateral(tdx.Collateral()), ""},
		"of the other CA":                 {collateral(processor.Collateral()), ""},
		"with a level that was made up":   {collateral(forged), ""},
		"expired":                         {of(simulated.TCBInfoExpired), ""},
		"to come":                         {of(simulated.QEIdentityNotYetValid), ""},
		"of another family":               {of(simulated.TCBInfoOfOtherFMSPC), ""},
		"of another PCE":                  {of(simulated.TCBInfoOfOtherPCEID), ""},
		"signed by someone":               {of(simulated.TCBInfoForged), ""},
		"altered":                         {of(simulated.QEIdentityAltered), ""},
		"without a revocation list":       {of(simulated.RootCRLMissing), ""},
		"with an old revocation list":     {of(simulated.PCKCRLExpired), ""},
		"with another's revocation list":  {of(simulated.PCKCRLOfOtherCA), ""},
		"signed by someone that is no CA": {of(simulated.TCBSignerForged), ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s.now.set(day(1))
			s.setStaple(test.staple)
			// Who never trusted the key does not begin to.
			alone := made(attest.NewKeySet(s.config(nil)))
			_, err := alone.Key(t.Context(), kidOf(s.cert))
			wantError(t, err, test.want)
			if !errors.Is(err, attest.ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable: nothing is known against the key", err)
			}
			// With a source, the source decides.
			sourced := made(attest.NewKeySet(s.config(s.hardware.Collateral())))
			if _, err := sourced.Key(t.Context(), kidOf(s.cert)); err != nil {
				t.Errorf("with a source: %v", err)
			}
			// Who trusted the key does so until the collateral ends that it was trusted by.
			s.setStaple(s.good())
			trusting := made(attest.NewKeySet(s.config(nil)))
			troubled := made(attest.NewKeySet(s.config(dcap.Sources{outage{}})))
			for _, set := range []*attest.KeySet{trusting, troubled} {
				if _, err := set.Key(t.Context(), kidOf(s.cert)); err != nil {
					t.Fatal(err)
				}
			}
			s.setStaple(test.staple)
			for _, set := range []*attest.KeySet{trusting, troubled} {
				s.later(t, set)
				if _, err := set.Key(t.Context(), kidOf(s.cert)); err != nil {
					t.Errorf("a trusted key is taken away: %v", err)
				}
			}
		})
	}
}

func redirect(to func() string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to(), http.StatusFound) }
}

// A staple that shows a certificate to be revoked is heard, whatever the source
// still says: the maker signed it, and no other collateral lifts it.
func TestStapleRevokes(t *testing.T) {
	s := newStapled(t)
	set := made(attest.NewKeySet(s.config(nil)))
	sourced := made(attest.NewKeySet(s.config(s.hardware.Collateral())))
	for _, set := range []*attest.KeySet{set, sourced} {
		if _, err := set.Key(t.Context(), kidOf(s.cert)); err != nil {
			t.Fatal(err)
		}
	}
	revoking, _ := machine(t, simulated.Config{Fault: simulated.PCKRevoked})
	s.setStaple(answerJSON(made(document(s.cert, revoking.Collateral().Marshal()).Marshal())))
	for _, set := range []*attest.KeySet{set, sourced} {
		s.later(t, set)
		_, err := set.Key(t.Context(), kidOf(s.cert))
		wantError(t, err, "revoked")
		if !errors.Is(err, attest.ErrRevoked) || errors.Is(err, attest.ErrUnavailable) {
			t.Errorf("got %v, want ErrRevoked", err)
		}
	}
}

// A client that knows the server by nothing stays with the host that it was told to ask.
func TestStapleStaysWithItsHost(t *testing.T) {
	s := newStapled(t)
	asked := false
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer elsewhere.Close()
	s.setStaple(redirect(func() string { return elsewhere.URL + "/.well-known/attestation" }))
	_, err := attest.FetchAttestation(t.Context(), nil, s.URL)
	wantError(t, err, "redirect to another host")
	if asked {
		t.Error("another host was asked")
	}
}

func TestFetchAttestation(t *testing.T) {
	s := newStapled(t)
	var seen *http.Request
	good := s.good()
	s.setStaple(func(w http.ResponseWriter, r *http.Request) { seen = r; good(w, r) })
	for _, url := range []string{s.URL, s.URL + "/", s.URL + "/.well-known/jwks.json"} {
		a, err := attest.FetchAttestation(t.Context(), nil, url)
		if err != nil || a.Issuer != issuer || len(a.Keys) != 1 || len(a.Collateral["dcap"]) == 0 {
			t.Errorf("%s: got %+v and the error %v", url, a, err)
		}
		if seen.URL.RequestURI() != attest.WellKnownAttestation || seen.Header.Get("Authorization")+seen.Header.Get("Cookie") != "" {
			t.Errorf("asked for %s with %v", seen.URL, seen.Header)
		}
	}
	if _, err := attest.FetchAttestation(t.Context(), s.Client(), s.URL); err != nil {
		t.Errorf("with a client: %v", err)
	}
	_, err := attest.FetchAttestation(t.Context(), new(http.Client), s.URL)
	wantError(t, err, "certificate") // a client of one's own knows the server as it always does
	for url, want := range map[string]string{
		"": "want an https URL", "http://broker.example.com": "want an https URL", "https://cdn.example.com/keys.json": "want that of an issuer",
		"https://user:hunter2@broker.example.com": "without query, fragment and credentials",
	} {
		_, err := attest.FetchAttestation(t.Context(), nil, url)
		wantError(t, err, want)
		if strings.Contains(err.Error(), "hunter2") {
			t.Error("tells a password: ", err)
		}
	}
	s.setStaple(nil)
	_, err = attest.FetchAttestation(t.Context(), nil, s.URL)
	if !errors.Is(err, attest.ErrNoAttestation) {
		t.Errorf("got %v, want ErrNoAttestation", err)
	}
	s.setStaple(answer(503, "application/json", nil))
	_, err = attest.FetchAttestation(t.Context(), nil, s.URL)
	if wantError(t, err, "got status 503"); errors.Is(err, attest.ErrNoAttestation) {
		t.Errorf("got %v for an outage", err)
	}
}

// roundTrip answers requests without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A staple that does not come is waited for a little, and then done without.
func TestStapleSlow(t *testing.T) {
	now := newClock(day(1))
	tee := newTEE()
	cert := certify(t, tee, newP256(t), binding())
	synctest.Test(t, func(t *testing.T) {
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == attest.WellKnownAttestation {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(jwkSet(jwk(t, cert))))}, nil
		})}
		set := made(attest.NewKeySet(attest.Config{URL: issuer, Policy: anyPolicy(), Platforms: platforms(tee), Client: client, Now: now.now}))
		begin := time.Now()
		if _, err := set.Key(t.Context(), kidOf(cert)); err != nil {
			t.Error(err)
		}
		if waited := time.Since(begin); waited > 3*time.Second {
			t.Errorf("waited %v for a staple that its verifier does not need", waited)
		}
		time.Sleep(time.Minute) // what is under way ends
	})
}

// While a newer staple does not come, the last one serves.
func TestStapleSlowToRefresh(t *testing.T) {
	tee, now := newTEE(), newClock(day(1))
	cert := certify(t, tee, newP256(t), binding())
	good := made(document(cert, []byte(`{"status":"UpToDate","number":17}`)).Marshal())
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			body := jwkSet(jwk(t, cert))
			if r.URL.Path == attest.WellKnownAttestation {
				if asked.Add(1) > 1 {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				body = good
			}
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, nil
		})}
		set := made(attest.NewKeySet(attest.Config{URL: issuer, Policy: anyPolicy(), Platforms: []attest.Verifier{judgement{fakeTEE: tee}}, Client: client, Now: now.now}))
		for range 2 {
			if err := set.Refresh(t.Context(), 0); err != nil {
				t.Error(err)
			}
			now.advance(11 * time.Minute)
		}
		if n := asked.Load(); n != 2 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(time.Minute) // what is under way ends
	})
}
