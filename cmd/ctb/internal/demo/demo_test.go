package demo

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
	"github.com/confidential-token-broker/ctb/rules"
)

// TestRefused holds the demo to its word: a refusal counts only if it is one, and for the right reason.
func TestRefused(t *testing.T) {
	is := func(want error) func(error) string {
		return func(err error) string {
			if !errors.Is(err, want) {
				return ""
			}
			return "for the right reason"
		}
	}
	right, wrong := errors.New("right"), errors.New("wrong")
	for _, test := range []struct {
		name string
		err  error
		good bool
		says string
	}{
		{"refused for the right reason", right, true, "refused: for the right reason"},
		{"refused for another reason", wrong, false, "but for another reason: wrong"},
		{"accepted", nil, false, "WAS ACCEPTED"},
	} {
		var out bytes.Buffer
		s := &stage{out: report.New(&out, report.Style{Unicode: true})}
		s.refused("forged", "a token", test.err, is(right))
		if good := s.passed == 1 && s.failed == 0; good != test.good || s.passed+s.failed != 1 {
			t.Errorf("%s: got %d passed and %d failed", test.name, s.passed, s.failed)
		}
		if !strings.Contains(out.String(), test.says) {
			t.Errorf("%s: got %s, want %q in it", test.name, &out, test.says)
		}
	}
}

// TestFinish exits well only if every step went as it should.
func TestFinish(t *testing.T) {
	var out bytes.Buffer
	s := &stage{out: report.New(&out, report.Style{Unicode: true}), passed: 3, failed: 1}
	if err := s.finish(t.Context()); !errors.Is(err, ErrFailed) {
		t.Errorf("got the error %v, want ErrFailed", err)
	}
	if want := "✗ 1 of 4 checks did not go as they should"; !strings.Contains(out.String(), want) {
		t.Errorf("got %s, want %q", &out, want)
	}
}

// TestRuleText keeps the demo's rules free of what "ctb rules check" would remark.
func TestRuleText(t *testing.T) {
	set, err := rules.Parse(ruleText("https://127.0.0.1:1234", "https://127.0.0.1:1234/jwks.json"))
	if err != nil {
		t.Fatal(err)
	}
	if found := set.Check(); len(found) > 0 {
		t.Errorf("got %v, want nothing to remark", found)
	}
	policy, err := attest.ParsePolicy(policyText([32]byte{1}, "https://127.0.0.1:8080", set.Digest()))
	if err != nil {
		t.Fatal(err)
	}
	if policy.SimulatedRoot != rootFile || len(policy.Rules) != 1 || policy.Issuer == "" {
		t.Errorf("got %+v, want a policy that names root, rules and issuer", policy)
	}
}

func TestLoadSeed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seed")
	made, err := loadSeed(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, want 0600: whoever has the seed makes evidence", info.Mode())
	}
	again, err := loadSeed(path)
	if err != nil || !bytes.Equal(made, again) {
		t.Errorf("got another seed the second time, or the error %v", err)
	}
	for _, bad := range []string{"", "00", strings.Repeat("g", 64)} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		var flag *FlagError
		if _, err := loadSeed(path); !errors.As(err, &flag) || flag.Flag != "seed" {
			t.Errorf("a seed of %q: got the error %v, want one of --seed", bad, err)
		}
	}
}

// TestByType sends each kind of token to its own verifier, and everything else to the strict one.
func TestByType(t *testing.T) {
	named := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(name)) })
	}
	g := byType{strict: named("strict"), original: named("original")}
	for authorization, want := range map[string]string{
		"Bearer eyJ0eXAiOiJKV1QifQ.e30.x":     "original", // {"typ":"JWT"}
		"Bearer eyJ0eXAiOiJhdCtqd3QifQ.e30.x": "strict",   // {"typ":"at+jwt"}
		"Bearer e30.e30.x":                    "strict",
		"Bearer":                              "strict",
		"":                                    "strict",
	} {
		r, w := httptest.NewRequest(http.MethodGet, "/api", nil), httptest.NewRecorder()
		r.Header.Set("Authorization", authorization)
		g.ServeHTTP(w, r)
		if got := w.Body.String(); got != want {
			t.Errorf("%q: got the %s verifier, want the %s one", authorization, got, want)
		}
	}
}

// FuzzTokenType: no header makes it panic, and the type that it reads is read again where it stands alone.
func FuzzTokenType(f *testing.F) {
	for _, s := range []string{"", "Bearer", "Bearer .", "Bearer eyJ0eXAiOiJKV1QifQ.e30.x", "Bearer bnVsbA.e30.x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, authorization string) {
		want := tokenType(authorization)
		head, err := json.Marshal(map[string]string{"typ": want})
		if err != nil {
			t.Fatal(err)
		}
		if got := tokenType("Bearer " + base64.RawURLEncoding.EncodeToString(head) + ".e30.x"); got != want {
			t.Errorf("%q: got %q, want %q", authorization, got, want)
		}
	})
}
