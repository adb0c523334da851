package pcs

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
)

func TestParseBase(t *testing.T) {
	for raw, want := range map[string]string{
		"":                           "https://api.trustedservices.intel.com/sgx/certification/v4/tcb",
		"https://pccs.example":       "https://pccs.example/sgx/certification/v4/tcb",
		"https://pccs.example:8081/": "https://pccs.example:8081/sgx/certification/v4/tcb",
		"https://pccs.example/a/b":   "https://pccs.example/a/b/sgx/certification/v4/tcb",
		"http://127.0.0.1:8081":      "http://127.0.0.1:8081/sgx/certification/v4/tcb",
		"https://p.example/sgx/certification/v4/":   "https://p.example/sgx/certification/v4/tcb",
		"https://p.example/sgx/certification/v4":    "https://p.example/sgx/certification/v4/tcb",
		"https://p.example/tdx/certification/v4/":   "https://p.example/sgx/certification/v4/tcb",
		"https://p.example/sgx/certification":       "https://p.example/sgx/certification/v4/tcb",
		"https://p.example/x/sgx/certification/v3/": "https://p.example/x/sgx/certification/v3/tcb",
	} {
		b, err := parseBase(raw)
		if err != nil {
			t.Errorf("%q: %v", raw, err)
		} else if got := b.at("sgx", "tcb", nil); got != want {
			t.Errorf("%q: got %s, want %s", raw, got, want)
		}
	}
	for raw, want := range map[string]string{
		"http://pccs.example/":                    "https URL",
		"https://me:secret@pccs.example/":         "without user",
		"https://pccs.example/?key=secret":        "without user, query",
		"https://pccs.example/#secret":            "fragment",
		"pccs.example":                            "https URL",
		"https:///sgx":                            "https URL",
		"ftp://127.0.0.1/":                        "https URL",
		"https://p.example/sgx/certification/v2/": "API version 2, want 3 or 4",
		"https://%zz/":                            "not a URL",
	} {
		_, err := parseBase(raw)
		wantError(t, err, want)
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the secret is in the error %q", err)
		}
	}
}

func TestClientAsks(t *testing.T) {
	tdx := sgx
	tdx.TEE, tdx.CA = "tdx", "processor"
	for name, c := range map[string]struct {
		about  dcap.Platform
		base   string
		update string
		want   []string
	}{
		"SGX": {sgx, "", "", []string{
			"/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
			"/sgx/certification/v4/qe/identity",
			"/sgx/certification/v4/rootcacrl",
			"/sgx/certification/v4/tcb?fmspc=f0c7b0de0000",
		}},
		"TDX, whose revocation lists are those of SGX": {tdx, "/sgx/certification/v4/", "", []string{
			"/sgx/certification/v4/pckcrl?ca=processor&encoding=der",
			"/sgx/certification/v4/rootcacrl",
			"/tdx/certification/v4/qe/identity",
			"/tdx/certification/v4/tcb?fmspc=f0c7b0de0000",
		}},
		"the early channel": {sgx, "/proxied", "early", []string{
			"/proxied/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
			"/proxied/sgx/certification/v4/qe/identity?update=early",
			"/proxied/sgx/certification/v4/rootcacrl",
			"/proxied/sgx/certification/v4/tcb?fmspc=f0c7b0de0000&update=early",
		}},
		"API version 3, which has one channel": {sgx, "/sgx/certification/v3", "standard", []string{
			"/sgx/certification/v3/pckcrl?ca=platform&encoding=der",
			"/sgx/certification/v3/qe/identity",
			"/sgx/certification/v3/rootcacrl",
			"/sgx/certification/v3/tcb?fmspc=f0c7b0de0000",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			want := issued(t, t0)
			s := serve(t, want)
			got, err := (&Client{URL: s.url + c.base, Update: c.update, HTTP: s.client}).Collateral(t.Context(), c.about)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Error("the collateral is not what the service has, byte for byte")
			}
			if asked := s.questions(); !slices.Equal(asked, c.want) {
				t.Errorf("asked\n%s\nwant\n%s", strings.Join(asked, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// toward sends every request to the service, whatever host it is for, and notes the hosts.
type toward struct {
	s     *service
	hosts chan string
}

func (d toward) RoundTrip(r *http.Request) (*http.Response, error) {
	d.hosts <- r.URL.Host + r.URL.Path + " key=" + r.Header.Get("Ocp-Apim-Subscription-Key")
	at, _ := url.Parse(d.s.url)
	r = r.Clone(r.Context())
	r.URL.Host = at.Host
	return d.s.client.Transport.RoundTrip(r)
}

func TestTheRootCRLOfIntelIsNotAtItsPCS(t *testing.T) {
	s := serve(t, issued(t, t0))
	hosts := make(chan string, 10)
	c := &Client{APIKey: "k", HTTP: &http.Client{Transport: toward{s, hosts}}}
	if _, err := c.Collateral(t.Context(), sgx); err != nil {
		t.Fatal(err)
	}
	close(hosts)
	var got []string
	for h := range hosts {
		got = append(got, h)
	}
	slices.Sort(got)
	// The key is for the PCS alone.
	want := []string{
		"api.trustedservices.intel.com/sgx/certification/v4/pckcrl key=k",
		"api.trustedservices.intel.com/sgx/certification/v4/qe/identity key=k",
		"api.trustedservices.intel.com/sgx/certification/v4/tcb key=k",
		"certificates.trustedservices.intel.com/IntelSGXRootCA.der key=",
	}
	if !slices.Equal(got, want) {
		t.Errorf("asked %q, want %q", got, want)
	}
}

func TestFormsOfRevocationLists(t *testing.T) {
	for name, form := range map[string]func([]byte) []byte{
		"DER": func(der []byte) []byte { return der },
		"hex": hexOf,
		"PEM": func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}) },
	} {
		t.Run(name, func(t *testing.T) {
			want := issued(t, t0)
			s := serve(t, want)
			s.form = form
			got, err := (&Client{URL: s.url, HTTP: s.client}).Collateral(t.Context(), sgx)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want the same lists", err)
			}
		})
	}
}

func TestQuestionsThatAreNotAsked(t *testing.T) {
	tdx := sgx
	tdx.TEE = "tdx"
	for name, c := range map[string]struct {
		client Client
		about  dcap.Platform
		want   string
	}{
		"a channel that there is not": {Client{Update: "late"}, sgx, `got "late"`},
		"a channel of version 3":      {Client{URL: "https://p.example/sgx/certification/v3/", Update: "early"}, sgx, `has no channel "early"`},
		"TDX of version 3":            {Client{URL: "https://p.example/sgx/certification/v3/"}, tdx, "no documents about TDX"},
		"a key with its line end":     {Client{APIKey: secret + "\n"}, sgx, "API key: it has white space"},
		"a root CRL in the clear":     {Client{RootCRL: "http://p.example/"}, sgx, "URL of the root CRL"},
		"a TEE that there is not":     {Client{}, dcap.Platform{TEE: "../sgx", CA: "platform"}, "TEE"},
		"a CA that there is not":      {Client{}, dcap.Platform{TEE: "sgx", CA: "x&encoding=pem"}, "CA"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, issued(t, t0))
			c.client.HTTP = s.client
			_, err := c.client.Collateral(t.Context(), c.about)
			wantError(t, err, c.want)
			if asked := s.questions(); len(asked) > 0 {
				t.Errorf("asked %q", asked)
			}
		})
	}
}

func TestRetries(t *testing.T) {
	for name, c := range map[string]struct {
		refusals []string // the Retry-After of each refusal; then it answers
		code     int
		waits    []time.Duration
		want     string
	}{
		"not now, and then":         {[]string{""}, 503, []time.Duration{time.Second}, ""},
		"as it is told":             {[]string{"2", "5"}, 429, []time.Duration{2 * time.Second, 5 * time.Second}, ""},
		"by a date":                 {[]string{t0.Add(3 * time.Second).Format(http.TimeFormat)}, 503, []time.Duration{3 * time.Second}, ""},
		"by a date that has passed": {[]string{t0.Add(-time.Hour).Format(http.TimeFormat)}, 503, []time.Duration{time.Second}, ""},
		"at most twice":             {[]string{"0", "0", "0"}, 503, []time.Duration{time.Second, 2 * time.Second}, "status 503"},
		"no longer than it will":    {[]string{"6"}, 429, nil, "status 429"},
		"nonsense is no time":       {[]string{"soon"}, 429, []time.Duration{time.Second}, ""},
		"never for another reason":  {[]string{"1"}, 500, nil, "status 500"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, issued(t, t0))
			refusals := c.refusals
			s.fault = of("/tcb", func(w http.ResponseWriter, r *http.Request) bool {
				if len(refusals) == 0 {
					return false
				}
				w.Header().Set("Retry-After", refusals[0])
				refusals = refusals[1:]
				return status(c.code)(w, r)
			})
			var waits []time.Duration
			client := &Client{URL: s.url, HTTP: s.client, now: func() time.Time { return t0 },
				wait: func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }}
			_, err := client.Collateral(t.Context(), sgx)
			if c.want != "" {
				wantError(t, err, c.want)
			} else if err != nil {
				t.Error(err)
			}
			if !slices.Equal(waits, c.waits) {
				t.Errorf("waited %v, want %v", waits, c.waits)
			}
		})
	}
}

func TestARetryEndsWithItsContext(t *testing.T) {
	s := serve(t, issued(t, t0))
	s.fault = status(http.StatusServiceUnavailable)
	client := &Client{URL: s.url, HTTP: s.client, wait: func(context.Context, time.Duration) error { return context.Canceled }}
	_, err := client.Collateral(t.Context(), sgx)
	wantError(t, err, "status 503")
	if asked := s.questions(); len(asked) != 1 {
		t.Errorf("asked %q, want one question", asked)
	}
}

const secret = "0123456789abcdef-the-key"

// TestTheKeyIsInNoError: not even if the server sends it back.
func TestTheKeyIsInNoError(t *testing.T) {
	other := serve(t, issued(t, t0))
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"a refusal": status(http.StatusForbidden),
		"an echo in a header": func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Location", "https://%zz/"+r.Header.Get("Ocp-Apim-Subscription-Key"))
			w.WriteHeader(http.StatusFound)
			return true
		},
		"an echo as a name": func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("TCB-Info-Issuer-Chain", "-----BEGIN%20CERTIFICATE-----")
			k := r.Header.Get("Ocp-Apim-Subscription-Key")
			fmt.Fprintf(w, `{%q:1,%q:1}`, k, k)
			return true
		},
		"a redirect to another host": func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, other.url+r.URL.Path, http.StatusFound)
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, issued(t, t0))
			s.fault = fault
			_, err := (&Client{URL: s.url, HTTP: s.client, APIKey: secret}).Collateral(t.Context(), sgx)
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the key is in the error %q", err)
			}
			s.mu.Lock()
			if len(s.asked) == 0 || s.asked[0].Header.Get("Ocp-Apim-Subscription-Key") != secret {
				t.Error("the service did not get the key")
			}
			s.mu.Unlock()
		})
	}
	other.mu.Lock()
	defer other.mu.Unlock()
	if len(other.asked) == 0 {
		t.Error("the redirect was not followed")
	}
	for _, r := range other.asked {
		if r.Header.Get("Ocp-Apim-Subscription-Key") != "" {
			t.Error("the key went to another host")
		}
	}
}

func TestTheQueryOfAnotherURLIsInNoError(t *testing.T) {
	s := serve(t, issued(t, t0))
	s.fault = of("/list", status(http.StatusForbidden))
	_, err := (&Client{URL: s.url, RootCRL: s.url + "/list?token=" + secret, HTTP: s.client}).Collateral(t.Context(), sgx)
	wantError(t, err, "root CRL: GET "+s.url+"/list: got status 403")
	if strings.Contains(err.Error(), secret) {
		t.Errorf("the secret is in the error %q", err)
	}
}
