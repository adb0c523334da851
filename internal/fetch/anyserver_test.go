package fetch

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Who is known by nothing is told no password, and sends nobody elsewhere.
func TestAnyServer(t *testing.T) {
	asked := false
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer elsewhere.Close()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case "/along":
			http.Redirect(w, r, "/", http.StatusFound)
		}
	}))
	defer server.Close()
	c := AnyServer()
	defer c.CloseIdleConnections()
	for path, want := range map[string]string{"/": "", "/along": "", "/away": "redirect to another host"} {
		_, err := Get(t.Context(), c, Request{URL: server.URL + path, Max: 1})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got error %v, want %q", path, err, want)
		}
	}
	if asked {
		t.Error("another host was asked")
	}
	for proxy, refused := range map[string]bool{
		"http://user:secret@proxy.example": false, "https://proxy.example": false, "https://user:secret@proxy.example": true,
	} {
		choose := withoutPassword(func(*http.Request) (*url.URL, error) { return url.Parse(proxy) })
		if _, err := choose(nil); (err != nil) != refused {
			t.Errorf("%s: got error %v", proxy, err)
		} else if err != nil && strings.Contains(err.Error(), "secret") {
			t.Error("tells the password: ", err)
		}
	}
}
