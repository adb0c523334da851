package simulated_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/simulated"
)

const tcbPath = "/sgx/certification/v4/tcb?fmspc=" + simulated.FMSPC

// TestFailures: each failure is what its name says, and passes when it ends.
func TestFailures(t *testing.T) {
	s, base := service(t, platform(t, simulated.Config{}))
	for fault, status := range map[simulated.PCSFault]int{
		simulated.PCSDown: 503, simulated.PCSBroken: 500, simulated.PCSNoUpstream: 502, simulated.PCSUnauthorized: 401,
		simulated.PCSBusy: 429, simulated.PCSUnknown: 404, simulated.PCSUncached: 461, simulated.PCSUncertified: 462, simulated.PCSRedirects: 302,
		simulated.PCSHTML: 200,
	} {
		s.Fail(fault)
		r := get(t, base+tcbPath)
		if r.status != status {
			t.Errorf("%s: got status %d, want %d", fault, r.status, status)
		}
		if got := r.header.Get("Retry-After"); (got == "120") != (fault == simulated.PCSBusy) {
			t.Errorf("%s: got Retry-After %q", fault, got)
		}
		if got := r.header.Get("Location"); strings.HasPrefix(got, "https://elsewhere.invalid/") != (fault == simulated.PCSRedirects) {
			t.Errorf("%s: got Location %q", fault, got)
		}
		if html := strings.HasPrefix(r.body, "<!DOCTYPE html>"); html != (fault == simulated.PCSHTML) {
			t.Errorf("%s: got the body %q", fault, r.body)
		}
		s.Fail("")
		if r := get(t, base+tcbPath); r.status != 200 {
			t.Errorf("after %s: got status %d", fault, r.status)
		}
	}
	for _, fault := range []simulated.PCSFault{simulated.PCSDrops, simulated.PCSTruncates} {
		s.Fail(fault)
		if r, err := ask(t.Context(), base+tcbPath); err == nil {
			t.Errorf("%s: got status %d and %d bytes", fault, r.status, len(r.body))
		}
	}
}

func TestSlowServiceHoldsARequestUntilTheClientGivesUp(t *testing.T) {
	s, base := service(t, platform(t, simulated.Config{}))
	s.Fail(simulated.PCSSlow)
	ctx, giveUp := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := ask(ctx, base+tcbPath)
		failed <- err
	}()
	for s.Requests("") == 0 {
		time.Sleep(time.Millisecond)
	}
	giveUp()
	if err := <-failed; err == nil {
		t.Error("a request that was given up was answered")
	}
}

func TestSlowServiceAnswersWhenTheFaultEnds(t *testing.T) {
	s, base := service(t, platform(t, simulated.Config{}))
	s.Fail(simulated.PCSSlow)
	status := make(chan int)
	go func() {
		r, _ := ask(t.Context(), base+tcbPath)
		status <- r.status
	}()
	for s.Requests(simulated.TCBInfo) == 0 {
		time.Sleep(time.Millisecond)
	}
	s.Fail(simulated.PCSBusy, simulated.PCKCRL) // of another document: it goes on holding
	s.Fail("")
	if got := <-status; got != 200 {
		t.Errorf("got status %d, want 200", got)
	}
	if got := s.Requests(simulated.TCBInfo); got != 1 {
		t.Errorf("got %d requests, want the one that was held", got)
	}
}

func TestFaultsStrikeTheDocumentsThatAreNamed(t *testing.T) {
	s, base := service(t, platform(t, simulated.Config{}))
	s.Fail(simulated.PCSDown, simulated.PCKCRL, simulated.RootCACRL)
	for path, want := range map[string]int{
		tcbPath:                             200,
		"/sgx/certification/v4/qe/identity": 200,
		"/sgx/certification/v4/pckcrl?ca=platform": 503,
		"/sgx/certification/v4/rootcacrl":          503,
	} {
		if r := get(t, base+path); r.status != want {
			t.Errorf("%s: got status %d, want %d", path, r.status, want)
		}
	}
}

// TestLies: each answer is 200, and what is wrong with it is what the fault says.
func TestLies(t *testing.T) {
	p := platform(t, simulated.Config{})
	s, base := service(t, p)
	sound := get(t, base+tcbPath)
	for _, c := range []struct {
		fault simulated.PCSFault
		wrong func(r reply) bool
	}{
		{simulated.PCSHalves, func(r reply) bool { return len(r.body) == len(sound.body)/2 }},
		{simulated.PCSOversize, func(r reply) bool { return len(r.body) >= 8<<20 }},
		{simulated.PCSGarbage, func(r reply) bool { return !json.Valid([]byte(r.body)) }},
		{simulated.PCSNoChain, func(r reply) bool { return r.header.Get("TCB-Info-Issuer-Chain") == "" }},
		{simulated.PCSSwappedChains, func(r reply) bool {
			return r.header.Get("TCB-Info-Issuer-Chain") == get(t, base+"/sgx/certification/v4/qe/identity").header.Get("SGX-Enclave-Identity-Issuer-Chain") &&
				r.header.Get("TCB-Info-Issuer-Chain") != sound.header.Get("TCB-Info-Issuer-Chain")
		}},
		{simulated.PCSOtherFMSPC, func(r reply) bool { return strings.Contains(r.body, `"fmspc":"F0C7B0DE0001"`) }},
		{simulated.PCSOtherTEE, func(r reply) bool { return strings.HasPrefix(r.body, `{"tcbInfo":{"id":"TDX"`) }},
		{simulated.PCSOlder, func(r reply) bool { return strings.Contains(r.body, `"tcbEvaluationDataNumber":16`) }},
		{simulated.PCSExpired, func(r reply) bool { return strings.Contains(r.body, `"nextUpdate":"2026-03-01T11:00:00Z"`) }},
		{simulated.PCSNotYetValid, func(r reply) bool { return strings.Contains(r.body, `"issueDate":"2026-03-01T13:00:00Z"`) }},
		{simulated.PCSForged, func(r reply) bool {
			return r.body[:len(r.body)-130] == sound.body[:len(r.body)-130] && r.body != sound.body
		}},
	} {
		s.Fail(c.fault)
		if r := get(t, base+tcbPath); r.status != http.StatusOK || !c.wrong(r) {
			t.Errorf("%s: got status %d, headers %v, %d bytes %.300s", c.fault, r.status, r.header, len(r.body), r.body)
		}
	}
	crl := "/sgx/certification/v4/pckcrl?encoding=der&ca="
	s.Fail("")
	other := get(t, base+crl+"processor").body
	s.Fail(simulated.PCSOtherCA)
	if r := get(t, base+crl+"platform"); r.body != other {
		t.Error("other ca: got another list than that of the processor CA")
	}
}

// TestServiceIsUsedConcurrently runs under the race detector.
func TestServiceIsUsedConcurrently(t *testing.T) {
	s, base := service(t, platform(t, simulated.Config{}), platform(t, simulated.Config{TEE: "tdx", FMSPC: "00806f050000"}))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if i == 0 {
				s.Publish(18)
				s.Fail(simulated.PCSOlder)
				return
			}
			if r, err := ask(t.Context(), base+"/tdx/certification/v4/tcb?fmspc=00806F050000"); err != nil || r.status != 200 {
				t.Errorf("got status %d, %v", r.status, err)
			}
		})
	}
	wg.Wait()
	if got := s.Requests(""); got != 7 {
		t.Errorf("got %d requests, want 7", got)
	}
}
