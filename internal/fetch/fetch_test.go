package fetch

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serve starts a TLS server and returns its URL and a client that trusts it.
func serve(t *testing.T, h http.HandlerFunc) (string, *http.Client) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.URL, Client(roots)
}

func TestJSON(t *testing.T) {
	url, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=90")
		fmt.Fprint(w, `{"keys":[]}`)
	})
	doc, err := JSON(t.Context(), c, url, 1000)
	if err != nil || string(doc.Body) != `{"keys":[]}` || doc.MaxAge != 90*time.Second {
		t.Errorf("got %+v, %v", doc, err)
	}
}

func TestJSONRefuses(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"a missing page":       {http.NotFound, "got status 404, want 200"},
		"a web page":           {func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html><body>Sign in</body>") }, "web page"},
		"more than the bound":  {func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, strings.Repeat(" ", 1001)) }, "more than 1000 bytes"},
		"a redirect to http":   {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) }, "redirect from https to http"},
		"a redirect to itself": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) }, "more than 3 redirects"},
		"an answer that breaks": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "{")
		}, "broke off after 1 bytes"},
		"a bomb in gzip":          {bomb, "more than 1000 bytes"},
		"no content, as a status": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }, "got status 204"},
	} {
		t.Run(name, func(t *testing.T) {
			url, client := serve(t, c.serve)
			_, err := JSON(t.Context(), client, url+"/jwks?secret=1", 1000)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want %q in it and no query", err, c.want)
			}
		})
	}
}

func bomb(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	defer z.Close()
	for range 1000 {
		fmt.Fprint(z, strings.Repeat(" ", 1000))
	}
}

func TestJSONDoesNotTrustAStranger(t *testing.T) {
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {})
	_, err := JSON(t.Context(), nil, url, 1000)
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

func TestJSONEndsWithItsContext(t *testing.T) {
	// A server that answered when its client leaves could still be heard.
	ended := make(chan struct{})
	defer close(ended)
	url, c := serve(t, func(w http.ResponseWriter, r *http.Request) { <-ended })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := JSON(ctx, c, url, 1000); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("got %v", err)
	}
}

func TestMaxAge(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"":                          0,
		"no-store":                  0,
		"max-age=60":                time.Minute,
		`Public, Max-Age="5"`:       5 * time.Second,
		"max-age=-1":                0,
		"max-age=99999999999999999": 0,
		"max-age":                   0,
		"max-age=x, max-age=7":      7 * time.Second,
	} {
		if got := maxAge(http.Header{"Cache-Control": {header}}); got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
}

func TestRedirectsOfAnyClientAreChecked(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "{}") }))
	defer plain.Close()
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://keys.example.com/", http.StatusFound)
	}))
	defer away.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain.URL, http.StatusFound)
	}))
	defer secure.Close()
	for from, want := range map[string]string{secure.URL: "redirect from https to http", away.URL: "redirect from http to http"} {
		if _, err := JSON(t.Context(), secure.Client(), from, 1000); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	c := secure.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	here := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/again", http.StatusFound)
	}))
	defer here.Close()
	if _, err := JSON(t.Context(), c, secure.URL, 1000); err == nil || !strings.Contains(err.Error(), "redirect") {
		t.Errorf("our rule comes first: got %v", err)
	}
	mine := here.Client()
	mine.CheckRedirect = c.CheckRedirect
	if _, err := JSON(t.Context(), mine, here.URL, 1000); err == nil || !strings.Contains(err.Error(), "status 302") {
		t.Errorf("the client's own rule was lost: got %v", err)
	}
}

func TestGetBranchesOnTheStatus(t *testing.T) {
	url, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err := Get(t.Context(), c, Request{URL: url, Max: 10})
	var refused *StatusError
	if !errors.As(err, &refused) || refused.Code != 429 || refused.Header.Get("Retry-After") != "7" {
		t.Errorf("got %v, want a StatusError with the headers of the answer", err)
	}
}

func TestGetTakesAnyKind(t *testing.T) {
	url, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, r.Header.Get("X-Key"))
	})
	doc, err := Get(t.Context(), c, Request{URL: url, Header: http.Header{"X-Key": {"k"}}, Max: 10})
	if err != nil || string(doc.Body) != "k" {
		t.Errorf("got %+v, %v", doc, err)
	}
}

func TestHeadersStayWithTheirHost(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "key="+r.Header.Get("X-Key")) }
	away, c := serve(t, echo)
	here, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, away, http.StatusFound)
		case "/here":
			http.Redirect(w, r, "/", http.StatusFound)
		default:
			echo(w, r)
		}
	})
	for path, want := range map[string]string{"/": "key=k", "/here": "key=k", "/away": "key="} {
		doc, err := Get(t.Context(), c, Request{URL: here + path, Header: http.Header{"X-Key": {"k"}}, Max: 10})
		if err != nil || string(doc.Body) != want {
			t.Errorf("%s: got %+v, %v, want %q", path, doc, err, want)
		}
	}
}

// TestARedirectTellsNoQuery: where a redirect leads learns neither the query nor the path that it came from.
func TestARedirectTellsNoQuery(t *testing.T) {
	var referer string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { referer = r.Referer() }))
	defer elsewhere.Close()
	from := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer from.Close()
	if _, err := Get(t.Context(), nil, Request{URL: from.URL + "/crl?sig=secret", Max: 1000}); err != nil {
		t.Fatal(err)
	}
	if referer != "" {
		t.Errorf("the other host was told %q", referer)
	}
}
