package attest_test

import (
	"bytes"
	"context"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// machine is a simulated one, made on day 1, and the verifiers that know its root and collateral.
func machine(t testing.TB, c simulated.Config) (*simulated.Platform, []attest.Verifier) {
	t.Helper()
	c.Now, c.Seed = day(1), bytes.Repeat([]byte{1}, 32)
	p, err := simulated.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p, []attest.Verifier{&dcap.Verifier{Root: p.Root(), Collateral: p.Collateral()}}
}

// Evidence in the genuine format, made and verified by the code that production runs.
func TestSimulatedHardware(t *testing.T) {
	hardware, verifiers := machine(t, simulated.Config{})
	cert, err := attest.Certify(context.Background(), hardware, keys.rsa(), binding(), attest.DICE, attest.Original)
	if err != nil {
		t.Fatal(err)
	}
	if len(cert.Raw) > 14<<10 {
		t.Errorf("got a certificate of %d bytes, want two quotes and little more", len(cert.Raw))
	}
	for _, scheme := range []string{attest.DICE, attest.Original} {
		a, err := attest.Appraise(context.Background(), cert, scheme, verifiers, day(1), day(1))
		if err != nil {
			t.Fatal(err)
		}
		if a.Report.TEE != "sgx" || !a.Report.Simulated || a.Report.TCB.Status != attest.UpToDate {
			t.Errorf("got %+v", a.Report)
		}
		p := &attest.Policy{Builds: []attest.Build{{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": a.Report.Measurements["mrenclave"]}}}, Scheme: scheme}
		wantError(t, p.Check(a.Report, a.Binding), "simulated_root: got simulated evidence")
		p.SimulatedRoot = "root.pem"
		if err := p.Check(a.Report, a.Binding); err != nil {
			t.Error(err)
		}
	}
	// Production trusts Intel's root alone.
	production := []attest.Verifier{&dcap.Verifier{Collateral: hardware.Collateral()}}
	if _, err := attest.Appraise(context.Background(), cert, attest.DICE, production, day(1), day(1)); err == nil {
		t.Error("production accepts simulated hardware")
	}
}

// Every bit of the evidence counts. Padding behind the certificates in the quote would not, but there is none here.
func TestSimulatedBitFlips(t *testing.T) {
	hardware, verifiers := machine(t, simulated.Config{})
	cert, err := attest.Certify(context.Background(), hardware, keys.p256(), binding())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidDICE) })
	genuine := cert.Extensions[i].Value
	for at := 0; at < len(genuine); at += 37 { // a sample; package dcap's tests have all
		c := *cert
		c.Extensions = slices.Clone(cert.Extensions)
		c.Extensions[i].Value = bytes.Clone(genuine)
		c.Extensions[i].Value[at] ^= 1 << (at % 8)
		if _, err := attest.Appraise(context.Background(), &c, attest.DICE, verifiers, day(1), day(1)); err == nil {
			t.Errorf("accepted with a bit of byte %d flipped", at)
		}
	}
}

// BenchmarkAppraise has the whole appraisal beside the platform's verification alone.
func BenchmarkAppraise(b *testing.B) {
	hardware, verifiers := machine(b, simulated.Config{})
	cert := made(attest.Certify(context.Background(), hardware, newP256(b), binding()))
	quote := made(hardware.Quote(context.Background(), [64]byte{}))
	b.Run("evidence", func(b *testing.B) {
		for b.Loop() {
			if _, err := verifiers[0].Verify(context.Background(), quote, day(1)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("certificate", func(b *testing.B) {
		for b.Loop() {
			if _, err := attest.Appraise(context.Background(), cert, attest.DICE, verifiers, day(1), day(1)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// The whole way of a token: a key made in the TEE, its evidence in a JWKS over HTTPS, a protected handler.
func TestResourceServer(t *testing.T) {
	b := newBroker(t)
	now := newClock(day(1))
	bound := binding()
	bound.Issuer = b.URL
	hardware, verifiers := machine(t, simulated.Config{})
	debug, debugVerifiers := machine(t, simulated.Config{Debug: true})
	key := newP256(t)
	ours := made(attest.Certify(context.Background(), hardware, key, bound))
	theirs := made(attest.Certify(context.Background(), debug, key, bound))
	report := made(attest.Appraise(context.Background(), ours, attest.DICE, verifiers, day(1), day(1))).Report
	policy := &attest.Policy{
		Builds:        []attest.Build{{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": report.Measurements["mrenclave"]}}},
		SimulatedRoot: "root.pem",
	}
	token := made(jose.Sign(jose.Header{Type: ctb.AccessToken, Algorithm: "ES256", KeyID: kidOf(ours)}, made(json.Marshal(map[string]any{
		"iss": b.URL, "aud": "https://api.example.com", "sub": "alice", "iat": day(1).Unix(), "exp": day(1).Add(time.Hour).Unix(), "scope": "read:reports",
	})), key))

	for name, test := range map[string]struct {
		publish   []byte
		verifiers []attest.Verifier
		policy    func(*attest.Policy)
		now       time.Time
		want      int
	}{
		"ours":          {publish: jwk(t, ours), want: 200},
		"a debug build": {publish: jwk(t, theirs), verifiers: debugVerifiers, want: 503},
		"another build": {publish: jwk(t, ours), policy: func(p *attest.Policy) {
			p.Builds = []attest.Build{{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": make([]byte, 32)}}}
		}, want: 503},
		"simulated":      {publish: jwk(t, ours), policy: func(p *attest.Policy) { p.SimulatedRoot = "" }, want: 503},
		"another key":    {publish: jwk(t, made(attest.Certify(context.Background(), hardware, newP256(t), bound))), want: 401},
		"an expired key": {publish: jwk(t, ours), now: day(2).Add(2 * time.Minute), want: 401}, // the token has expired before
	} {
		t.Run(name, func(t *testing.T) {
			b.publish(test.publish)
			now.set(day(1))
			if !test.now.IsZero() {
				now.set(test.now)
			}
			p := *policy
			apply(test.policy, &p)
			if test.verifiers == nil {
				test.verifiers = verifiers
			}
			keys, err := attest.NewKeySet(attest.Config{URL: b.URL, Policy: &p, Platforms: test.verifiers, Client: b.Client(), Now: now.now})
			if err != nil {
				t.Fatal(err)
			}
			v, err := ctb.NewVerifier(ctb.Config{Issuer: b.URL, Audience: "https://api.example.com", Keys: keys, Now: now.now})
			if err != nil {
				t.Fatal(err)
			}
			api := httptest.NewServer(v.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}), ctb.Scope("read:reports")))
			defer api.Close()
			req := made(http.NewRequest("GET", api.URL, nil))
			req.Header.Set("Authorization", "Bearer "+token)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != test.want {
				t.Errorf("got status %d, want %d", resp.StatusCode, test.want)
			}
		})
	}
}

// vectors returns the folder of the genuine vectors, which are not in the repository.
func vectors(t testing.TB, path ...string) string {
	t.Helper()
	name := filepath.Join(append([]string{"..", "..", "shared", "vectors"}, path...)...)
	if _, err := os.Stat(name); err != nil {
		t.Skip("genuine vectors are not here: ", err)
	}
	return name
}

// The original broker's published keys and tokens, with Intel's collateral of 2025-08.
func TestOriginalSampleGenuine(t *testing.T) {
	collateral := made(dcap.ParseCollateral(made(os.ReadFile(vectors(t, "dcap", "fmspc_00606a000000.2025-08.collateral.json")))))
	jwks := made(os.ReadFile("testdata/original_jwks.json"))
	token := strings.TrimSpace(string(made(os.ReadFile(vectors(t, "original", "access_1_response.jwt")))))
	at, evidenceAt := time.Unix(1696053950, 0), time.Date(2025, 8, 20, 0, 0, 0, 0, time.UTC)
	c := attest.Config{
		Platforms: []attest.Verifier{&dcap.Verifier{Collateral: collateral}},
		Now:       func() time.Time { return at }, EvidenceNow: func() time.Time { return evidenceAt },
	}
	ctx := context.Background()

	// Without a policy: the facts, and what any policy would refuse unless it says otherwise.
	list, err := attest.Appraisals(ctx, jwks, c)
	if err != nil || len(list) != 1 || list[0].Err != nil {
		t.Fatalf("got %+v, %v", list, err)
	}
	r := list[0].Appraisal.Report
	if r.TCB.Status != attest.OutOfDateConfigurationNeeded || !r.Debug || r.Simulated || len(r.TCB.Advisories) != 6 {
		t.Errorf("got %+v", r)
	}
	var refused []string
	for _, refusal := range attest.DefaultRefusals(r) {
		refused = append(refused, refusal.Key)
	}
	if want := []string{"builds[].debug", "builds[].sample_signer", "tcb.accept"}; !slices.Equal(refused, want) {
		t.Errorf("got %v, want %v", refused, want)
	}

	// Under a policy that says all it must, its tokens are accepted; with less, the keys are refused by name.
	const whole = `
builds:
  - tee: sgx
    mrenclave: 2f745c0bfb2a484cb081652f3897ce181762a30c3eecd13209fe1f58442667ac
    debug: true
    sample_signer: true
tcb:
  accept: [OutOfDateConfigurationNeeded]
scheme: original
`
	verify := func(policy, token string) error {
		c.Policy = made(attest.ParsePolicy([]byte(policy)))
		set, err := attest.ParseKeys(ctx, jwks, c)
		if err != nil {
			t.Fatal(err)
		}
		v := made(ctb.NewVerifier(ctb.Config{Issuer: "enclave authorization", AnyAudience: true, Type: ctb.IDToken, Keys: set, Now: c.Now}))
		_, err = v.Verify(ctx, token)
		return err
	}
	if err := verify(whole, token); err != nil {
		t.Error(err)
	}
	last := strings.LastIndex(token, ".") + 10
	if err := verify(whole, token[:last]+string(token[last]^1)+token[last+1:]); !errors.Is(err, ctb.ErrInvalidToken) {
		t.Errorf("got %v for a changed token", err)
	}
	for line, want := range map[string]string{
		"    debug: true\n":                                "builds[0].debug: got a debug build",
		"    sample_signer: true\n":                        "builds[0].sample_signer: got the published sample key of the Intel SGX SDK",
		"tcb:\n  accept: [OutOfDateConfigurationNeeded]\n": "tcb.accept: got OutOfDateConfigurationNeeded",
		"scheme: original\n":                               "no evidence by the scheme dice",
	} {
		err := verify(strings.Replace(whole, line, "", 1), token)
		wantError(t, err, want)
		if errors.Is(err, ctb.ErrInvalidToken) {
			t.Errorf("without %q the token is at fault: %v", line, err)
		}
	}
	at = time.Unix(1696057506, 0).Add(61 * time.Second)
	if err := verify(whole, token); !errors.Is(err, ctb.ErrInvalidToken) {
		t.Errorf("got %v after its time", err)
	}
}
