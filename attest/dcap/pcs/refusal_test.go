package pcs

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestWhatARefusalMeans(t *testing.T) {
	for name, c := range map[string]struct {
		end  string
		code int
		want []string
	}{
		"an unknown FMSPC":         {"/tcb", 404, []string{"TCB info: GET https://", "/sgx/certification/v4/tcb?fmspc=f0c7b0de0000: got status 404", "OFFLINE and REQ", "LAZY"}},
		"a proxy of Intel's":       {"/rootcacrl", 404, []string{"root CRL", "name the list's URL (https://certificates.trustedservices.intel.com/IntelSGXRootCA.der)"}},
		"a wrong base URL":         {"/qe/identity", 404, []string{"QE identity", "status 404", "is the base URL right"}},
		"a bad question":           {"/tcb", 400, []string{"status 400", "does not understand the question"}},
		"no API key":               {"/tcb", 401, []string{"status 401", "wants an API key"}},
		"a wrong API key":          {"/pckcrl", 403, []string{"PCK CRL", "status 403", "wants an API key"}},
		"an old revision":          {"/tcb", 410, []string{"no longer gives out this revision"}},
		"a spoilt PCCS":            {"/tcb", 460, []string{"could not verify what it holds"}},
		"an unregistered platform": {"/tcb", 461, []string{"status 461", "must be registered"}},
		"a platform without PCK":   {"/tcb", 462, []string{"status 462", "no certificates for the TCB"}},
		"a PCCS that is cut off":   {"/rootcacrl", 504, []string{"root CRL", "could not get the document from Intel"}},
		"a service in trouble":     {"/tcb", 500, []string{"status 500", "nothing is said about the platform"}},
		"too many questions":       {"/tcb", 429, []string{"status 429", "asked too often"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, issued(t, t0))
			s.fault = of(c.end, status(c.code))
			client := &Client{URL: s.url, HTTP: s.client, wait: func(context.Context, time.Duration) error { return nil }}
			_, err := client.Collateral(t.Context(), sgx)
			wantError(t, err, c.want...)
			var e *Error
			if !errors.As(err, &e) || e.Status != c.code || !strings.Contains(e.URL, c.end) {
				t.Errorf("got %+v, want an Error of the status %d about %s", e, c.code, c.end)
			}
		})
	}
}

func TestWhatIntelSays(t *testing.T) {
	s := serve(t, issued(t, t0))
	s.fault = status(http.StatusNotFound)
	hosts := make(chan string, 10)
	_, err := (&Client{HTTP: &http.Client{Transport: toward{s, hosts}}}).Collateral(t.Context(), sgx)
	wantError(t, err, "https://api.trustedservices.intel.com/sgx/certification/v4/tcb?fmspc=f0c7b0de0000: got status 404", "Intel knows no platform of this FMSPC")
	if len(hosts) != 1 {
		t.Errorf("an unknown platform took %d requests, want 1", len(hosts))
	}
}

func TestNoAnswer(t *testing.T) {
	s := serve(t, issued(t, t0))
	for name, c := range map[string]struct {
		client *Client
		want   []string
	}{
		"a self-signed certificate": {&Client{URL: s.url}, []string{"not known by its certificate", "use_secure_cert"}},
		"nobody there":              {&Client{URL: "http://127.0.0.1:1"}, []string{"refused", "can't be reached"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.client.Collateral(t.Context(), sgx)
			wantError(t, err, c.want...)
		})
	}
	t.Run("a service that is slow", func(t *testing.T) {
		// A service that answered when its client leaves could still be heard.
		ended := make(chan struct{})
		defer close(ended)
		s.set(issued(t, t0), func(w http.ResponseWriter, r *http.Request) bool { <-ended; return true })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := (&Client{URL: s.url, HTTP: s.client}).Collateral(ctx, sgx)
		wantError(t, err, "did not answer in time")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want a context that ended", err)
		}
	})
}
