package ctb_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
)

// protected starts a server whose one handler greets the token's subject.
func protected(t *testing.T, c ctb.Config, reqs ...ctb.Requirement) *httptest.Server {
	t.Helper()
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tok, ok := ctb.FromContext(r.Context())
		if !ok {
			t.Error("the handler has no token")
			return
		}
		fmt.Fprintf(w, "hello %s", tok.Subject)
	})
	s := httptest.NewTLSServer(verifier(t, c).Protect(hello, reqs...))
	t.Cleanup(s.Close)
	return s
}

func TestProtect(t *testing.T) {
	s := protected(t, config(), ctb.Scope("read:reports"), ctb.Claim("email_verified", true))
	good := mint(t, "ES256", with(claims{"email_verified": true}))
	const jsonType = "application/json"
	for name, c := range map[string]struct {
		authorization []string
		status        int
		challenge     string
		body          string
	}{
		"a good token":           {[]string{"Bearer " + good}, 200, "", "hello alice"},
		"bearer in lower case":   {[]string{"bearer " + good}, 200, "", "hello alice"},
		"two spaces":             {[]string{"Bearer  " + good}, 200, "", "hello alice"},
		"no header":              {nil, 401, "Bearer", "no Authorization header"},
		"an empty header":        {[]string{""}, 401, "Bearer", "another scheme"},
		"the token alone":        {[]string{good}, 401, "Bearer", "another scheme"},
		"Basic":                  {[]string{"Basic YWxpY2U6eA=="}, 401, "Bearer", "another scheme"},
		"DPoP":                   {[]string{"DPoP " + good}, 401, "Bearer", "another scheme"},
		"no token":               {[]string{"Bearer"}, 400, "Bearer", "malformed"},
		"a blank token":          {[]string{"Bearer   "}, 400, "Bearer", "malformed"},
		"two tokens in one":      {[]string{"Bearer " + good + " " + good}, 400, "Bearer", "malformed"},
		"two schemes in one":     {[]string{"Bearer " + good + ", Basic eA=="}, 400, "Bearer", "malformed"},
		"two headers":            {[]string{"Bearer " + good, "Bearer " + good}, 400, "Bearer", "more than one"},
		"a token that is no JWT": {[]string{"Bearer hello"}, 401, `Bearer error="invalid_token"`, "malformed"},
		"an expired token":       {[]string{"Bearer " + mint(t, "ES256", with(claims{"exp": 1}))}, 401, `Bearer error="invalid_token"`, "has expired"},
		"another audience":       {[]string{"Bearer " + mint(t, "ES256", with(claims{"aud": "x"}))}, 401, `Bearer error="invalid_token"`, "another audience"},
		"too little scope":       {[]string{"Bearer " + mint(t, "ES256", with(claims{"scope": "a"}))}, 403, `Bearer error="insufficient_scope", scope="read:reports"`, "claim 'scope'"},
		"too little of a claim":  {[]string{"Bearer " + mint(t, "ES256", with(nil))}, 403, `Bearer error="insufficient_scope"`, "missing claim 'email_verified'"},
	} {
		req, _ := http.NewRequest("GET", s.URL, nil)
		req.Header["Authorization"] = c.authorization
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.status || resp.Header.Get("WWW-Authenticate") != c.challenge || !strings.Contains(string(body), c.body) {
			t.Errorf("%s: got %d, %q, %s", name, resp.StatusCode, resp.Header.Get("WWW-Authenticate"), body)
		}
		if c.status != 200 && (resp.Header.Get("Content-Type") != jsonType || resp.Header.Get("Cache-Control") != "no-store") {
			t.Errorf("%s: headers %v", name, resp.Header)
		}
	}
}

func TestProtectSaysWhenTheKeysAreTheTrouble(t *testing.T) {
	c := config()
	c.Keys = &mutableKeys{err: errors.New("evidence is of another build")}
	var told error
	c.OnRefusal = func(_ *http.Request, err error) { told = err }
	s := protected(t, c)
	req, _ := http.NewRequest("GET", s.URL, nil)
	req.Header.Set("Authorization", "Bearer "+mint(t, "ES256", with(nil)))
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || resp.Header.Get("WWW-Authenticate") != "" || strings.Contains(string(body), "evidence") {
		t.Errorf("got %d, %v, %s", resp.StatusCode, resp.Header, body)
	}
	if told == nil || errors.Is(told, ctb.ErrInvalidToken) || !strings.Contains(told.Error(), "evidence is of another build") {
		t.Errorf("OnRefusal was told %v", told)
	}
}

func TestProtectPanicsOnARequirementThatIsNone(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	verifier(t, config()).Protect(http.NotFoundHandler(), ctb.Requirement{})
}
