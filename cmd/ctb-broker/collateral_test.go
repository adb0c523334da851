package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/exchange"
)

// hardwareOf is simulated hardware with a quote of it.
func hardwareOf(t *testing.T, c simulated.Config) (*simulated.Platform, *attest.Evidence) {
	t.Helper()
	p, err := simulated.New(c)
	if err != nil {
		t.Fatal(err)
	}
	e, err := p.Quote(t.Context(), [64]byte{})
	if err != nil {
		t.Fatal(err)
	}
	return p, e
}

// serviceOf is a collateral service that knows the hardware: its faults, and the configuration that leads to it.
func serviceOf(t *testing.T, p *simulated.Platform) (*simulated.PCS, evidence.Source) {
	t.Helper()
	service := simulated.NewPCS(p)
	s := httptest.NewUnstartedServer(service)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	t.Cleanup(func() { service.Fail("") }) // before: requests that are held would keep it from closing
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return service, evidence.Source{PCS: s.URL + "/sgx/certification/v4/", CA: write(t, "ca.pem", string(ca))}
}

// What is served was verified, for this platform, whatever the source says.
func TestStapleIsVerified(t *testing.T) {
	for _, c := range []simulated.Config{{}, {CA: "processor"}, {TEE: "tdx"}} {
		p, e := hardwareOf(t, c)
		service, from := serviceOf(t, p)
		service.Publish(18) // one more than what comes with the evidence
		for _, fault := range append(simulated.PCSFaults(), "") {
			if fault == simulated.PCSOlder {
				continue // good, for who has seen nothing newer
			}
			service.Fail(fault)
			s, err := newStaple(&config{Collateral: from}, p.Root(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if fault == simulated.PCSSlow || fault == simulated.PCSDown { // which is asked again after a while
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
			}
			data, until, err := s.collateral(ctx, e)
			cancel()
			if fault != "" {
				if err == nil || data != nil {
					t.Errorf("%s, %s: got %d bytes, %v, want a reason", c.TEE, fault, len(data), err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			stapled, err := dcap.ParseCollateral(data)
			if err != nil {
				t.Fatal(err)
			}
			judged, err := (&dcap.Verifier{Root: p.Root()}).Inspect(stapled, time.Now())
			if err != nil || judged.EvaluationNumber != 18 || !judged.Window.NotAfter.Equal(until) {
				t.Errorf("%s: got %+v until %v, %v", c.TEE, judged, until, err)
			}
		}
	}
}

// A file is verified as a service's answer is, and read again when it changes.
func TestStapleOfAFile(t *testing.T) {
	p, e := hardwareOf(t, simulated.Config{})
	other, _ := hardwareOf(t, simulated.Config{Seed: bytes.Repeat([]byte("o"), 32), FMSPC: "00606a000000"})
	foreign, _ := hardwareOf(t, simulated.Config{})
	old, _ := hardwareOf(t, simulated.Config{Now: time.Now().AddDate(-1, 0, 0)})
	path := write(t, "collateral.json", string(p.Collateral().Marshal()))
	var log bytes.Buffer
	open := func(p *simulated.Platform) *staple {
		t.Helper()
		s, err := newStaple(&config{Collateral: evidence.Source{File: path}}, p.Root(), slog.New(slog.NewJSONHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open(p)
	for _, c := range []struct{ name, file, says, logged string }{
		{"good", string(p.Collateral().Marshal()), "", "checkers accept this platform"},
		{"junk", "<html>", "", "what was read last is kept"},
		{"the same junk", "<html>", "", ""},
		{"under another root", string(foreign.Collateral().Marshal()), "untrusted root", ""},
		{"good again", string(p.Collateral().Marshal()), "", ""},
	} {
		log.Reset()
		if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		data, _, err := s.collateral(t.Context(), e)
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) || data != nil {
				t.Errorf("%s: got %d bytes, %v, want … %s", c.name, len(data), err, c.says)
			}
		} else if err != nil || !bytes.Equal(data, p.Collateral().Marshal()) {
			t.Errorf("%s: got %d bytes, %v, want the good file", c.name, len(data), err)
		}
		if !strings.Contains(log.String(), c.logged) || c.logged == "" && log.Len() > 0 {
			t.Errorf("%s: logged %s, want … %s", c.name, &log, c.logged)
		}
	}
	for says, wrong := range map[string]*simulated.Platform{"got collateral of sgx 00606a000000": other, "not valid after": old} {
		if err := os.WriteFile(path, wrong.Collateral().Marshal(), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := open(wrong).collateral(t.Context(), e); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want … %s", err, says)
		}
	}
	for _, bad := range []*attest.Evidence{{Platform: "snp"}, {Platform: "dcap", Quote: []byte("quote")}} {
		if _, _, err := s.collateral(t.Context(), bad); err == nil {
			t.Errorf("%+v: got collateral", bad)
		}
	}
}

// While the service is down, its file serves, and that it is down is told.
func TestStapleOfAFileWhileTheServiceIsDown(t *testing.T) {
	p, e := hardwareOf(t, simulated.Config{})
	service, from := serviceOf(t, p)
	service.Fail(simulated.PCSBroken)
	from.File = write(t, "collateral.json", string(p.Collateral().Marshal()))
	s, err := newStaple(&config{Collateral: from}, p.Root(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	data, until, err := s.collateral(t.Context(), e)
	if err == nil || !strings.Contains(err.Error(), "500") || !bytes.Equal(data, p.Collateral().Marshal()) || until.Before(time.Now()) {
		t.Errorf("got %d bytes until %v, %v, want the file, and why it is not the service's", len(data), until, err)
	}
}

// How checkers see the platform is told when it is known, and again only when it has changed.
func TestStapleTellsOfThePlatform(t *testing.T) {
	for _, c := range []struct {
		hardware simulated.Config
		says     []string
	}{
		{simulated.Config{}, []string{"checkers accept this platform", `"status":"UpToDate"`}},
		{simulated.Config{Status: attest.OutOfDate}, []string{"checkers refuse this platform", `"status":"OutOfDate"`, "tcb.accept", `"remedies":["`}},
		{simulated.Config{TEE: "tdx", ModuleStatus: attest.OutOfDate}, []string{"checkers refuse this platform", `"status":"OutOfDate"`}},
		{simulated.Config{Debug: true}, []string{"checkers refuse this platform", "debug"}},
		{simulated.Config{Fault: simulated.PCKRevoked}, []string{"no checker takes the evidence", "revoked"}},
	} {
		p, e := hardwareOf(t, c.hardware)
		var log bytes.Buffer
		from := evidence.Source{File: write(t, "collateral.json", string(p.Collateral().Marshal()))}
		s, err := newStaple(&config{Collateral: from}, p.Root(), slog.New(slog.NewJSONHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if data, _, err := s.collateral(t.Context(), e); err != nil || data == nil {
				t.Errorf("%v: got %d bytes, %v, want what checkers see", c.says, len(data), err)
			}
		}
		for _, words := range c.says {
			if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), words) {
				t.Errorf("logged %s, want one line with … %s", &log, words)
			}
		}
	}
}

// The real program, whose collateral service is down when it starts: it exchanges, and says what is
// missing. When the service is up, checkers that can reach nobody but the broker verify everything by the staple; and
// after a restart they do so by what was kept, though the service is down again.
func TestProgramStaplesCollateral(t *testing.T) {
	seed := strings.Repeat("s", minSeed)
	p, _ := hardwareOf(t, simulated.Config{Seed: []byte(seed)})
	service, from := serviceOf(t, p)
	service.Publish(18)
	service.Fail(simulated.PCSBroken)
	idp, key := startIDP(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"seed": seed, "rules.json": rulesFor(idp, "first"),
		"broker.yaml": fmt.Sprintf("issuer: https://127.0.0.1\nlisten: 127.0.0.1:0\ntee: simulated\nsimulated: {seed_file: seed}\nrules: rules.json\n"+
			"collateral: {pcs: %q, ca_path: %q, cache: kept}\naudit: {file: audit.jsonl}\n", from.PCS, from.CA),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := build(t, "simulated")
	command, log, started := launch(t, program, filepath.Join(dir, "broker.yaml"))
	log.wait(t, "the collateral of the hardware's evidence can't be brought up to date")
	checker := attest.Config{URL: "https://" + started.Address, Platforms: []attest.Verifier{&dcap.Verifier{Root: p.Root()}}, Policy: &attest.Policy{
		Builds:        []attest.Build{{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": simulated.DevMRENCLAVE[:]}}},
		SimulatedRoot: "root.pem", Issuer: "https://127.0.0.1", TCB: attest.TCBRule{EvaluationNumber: 18},
	}}
	if _, err := visit(t, checker, idToken(t, key)); err == nil || !strings.Contains(err.Error(), "no collateral") {
		t.Errorf("without a staple: got %v", err)
	}
	own, any := checker, *checker.Policy
	any.TCB.EvaluationNumber = 0
	own.Policy, own.Platforms = &any, []attest.Verifier{&dcap.Verifier{Root: p.Root(), Collateral: p.Collateral()}}
	if page, err := visit(t, own, idToken(t, key)); err != nil || !strings.Contains(page, `"state":"none"`) || !strings.Contains(page, `"status":"degraded"`) {
		t.Errorf("a checker with collateral of its own: got %v, %s", err, page)
	}

	service.Fail("")
	log.wait(t, "collateral is served beside the evidence")
	if page, err := visit(t, checker, idToken(t, key)); err != nil || !strings.Contains(page, `"state":"current"`) || !strings.Contains(page, `"status":"ready"`) {
		t.Errorf("by the staple: got %v, %s", err, page)
	}
	end(t, command, log)

	service.Fail(simulated.PCSBroken)
	asked := service.Requests("")
	command, log, started = launch(t, program, filepath.Join(dir, "broker.yaml"))
	log.wait(t, "collateral is served beside the evidence")
	checker.URL = "https://" + started.Address
	if _, err := visit(t, checker, idToken(t, key)); err != nil || service.Requests("") != asked {
		t.Errorf("by the staple that was kept: got %v after %d requests", err, service.Requests("")-asked)
	}
	end(t, command, log)
}

// visit is all that a checker does: it exchanges an id token over attested TLS, verifies the access
// token by attested keys, and returns the health page.
func visit(t *testing.T, c attest.Config, idToken string) (page string, err error) {
	t.Helper()
	trust, err := attest.TLSConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: trust}}
	defer web.CloseIdleConnections()
	answer, err := (&exchange.Client{URL: c.URL + "/token", HTTP: web}).Exchange(t.Context(), &exchange.Request{SubjectToken: idToken})
	if err != nil {
		return "", err
	}
	if err := verifies(t, c, answer.AccessToken); err != nil {
		return "", err
	}
	return get(t, web, c.URL+"/readyz"), nil
}
