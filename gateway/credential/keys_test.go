package credential

import (
	"net/http"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
)

// list is a whitelist that can be read anew.
type list struct{ now *Whitelist }

func (l *list) Whitelist() *Whitelist { return l.now }

func (l *list) read(t *testing.T, text string) {
	t.Helper()
	w, err := ParseWhitelist([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	l.now = w
}

func newList(t *testing.T, text string) *list {
	l := &list{}
	l.read(t, text)
	return l
}

func keys(t *testing.T, source Source, header string) *Keys {
	t.Helper()
	k, err := NewKeys(source, header)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeys(t *testing.T) {
	const missing, unknown, several = access.MissingCredential, access.UnknownAPIKey, access.SeveralCredentials
	l := newList(t, notarys)
	standard, raw := keys(t, l, ""), keys(t, l, "authorization")
	for name, c := range map[string]struct {
		keys  *Keys
		lines [][2]string
		want  any
	}{
		"a key":                    {standard, [][2]string{{"X-API-Key", "test_api_key_0"}}, "Jonas Nielsen"},
		"the header in lower case": {standard, [][2]string{{"x-api-key", "test_api_key_1"}}, "Eren Jaeger"},
		"no key":                   {standard, nil, missing},
		"a key in Authorization":   {standard, [][2]string{{"Authorization", "test_api_key_0"}}, missing},
		"an empty key":             {standard, [][2]string{{"X-API-Key", ""}}, unknown},
		"another key":              {standard, [][2]string{{"X-API-Key", "test_api_key_2"}}, unknown},
		"a key in capitals":        {standard, [][2]string{{"X-API-Key", "TEST_API_KEY_0"}}, unknown},
		"the beginning of a key":   {standard, [][2]string{{"X-API-Key", "test_api_key_"}}, unknown},
		"a key's hash":             {standard, [][2]string{{"X-API-Key", hashed("test_api_key_0")}}, unknown},
		"a key with a scheme":      {standard, [][2]string{{"X-API-Key", "Bearer test_api_key_0"}}, unknown},
		"two keys in one line":     {standard, [][2]string{{"X-API-Key", "test_api_key_0, test_api_key_0"}}, unknown},
		"the same key twice":       {standard, [][2]string{{"X-API-Key", "test_api_key_0"}, {"X-API-Key", "test_api_key_0"}}, several},
		"16 MiB":                   {standard, [][2]string{{"X-API-Key", strings.Repeat("k", 16<<20)}}, unknown},
		"a raw key":                {raw, [][2]string{{"Authorization", "test_api_key_0"}}, "Jonas Nielsen"},
		"a raw key with a scheme":  {raw, [][2]string{{"Authorization", "Bearer test_api_key_0"}}, unknown},
		"a raw key twice":          {raw, [][2]string{{"Authorization", "test_api_key_0"}, {"Authorization", "x"}}, several},
		"no raw key":               {raw, [][2]string{{"X-API-Key", "test_api_key_0"}}, missing},
	} {
		who, err := c.keys.Authenticate(request("/?api_key=test_api_key_0", c.lines...))
		if want, good := c.want.(string); good {
			if err != nil || who.Mode != access.APIKey || who.Name != want || who.Token != nil {
				t.Errorf("%s: got %+v, %v", name, who, err)
			}
			continue
		}
		if refusal := refused(t, who, err); refusal.Reason != c.want || refusal.Mode != access.APIKey || strings.Contains(refusal.Error(), "test_api") || refusal.Fingerprint != "" {
			t.Errorf("%s: got %+v, want %s", name, refusal, c.want)
		}
	}
	if ids := [2]string{l.now.find("test_api_key_0").ID, l.now.find("test_api_key_1").ID}; ids[0] == ids[1] {
		t.Error("two keys are one holder")
	}
}

func TestAHashedListKnowsTheSameKeys(t *testing.T) {
	plain := newList(t, notarys)
	text, err := HashWhitelist([]byte(notarys))
	if err != nil {
		t.Fatal(err)
	}
	r := request("/", [2]string{"X-API-Key", "test_api_key_0"})
	before, err := keys(t, plain, "").Authenticate(r)
	if err != nil {
		t.Fatal(err)
	}
	l := newList(t, string(text))
	after, err := keys(t, l, "").Authenticate(r)
	if err != nil || *after != *before {
		t.Errorf("%+v has become %+v, %v", before, after, err)
	}
	if err := keys(t, l, "").Still(r, before); err != nil {
		t.Errorf("a session did not outlive the hashing: %v", err)
	}
}

func TestStillOfKeys(t *testing.T) {
	l := newList(t, notarys)
	k := keys(t, l, "")
	who, err := k.Authenticate(request("/", [2]string{"X-API-Key", "test_api_key_0"}))
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		text string
		want access.Reason
	}{
		"nothing has changed":         {notarys, ""},
		"others have come and gone":   {"Name,ApiKey\nJonas Nielsen,test_api_key_0\nops,k\n", ""},
		"the key is withdrawn":        {"Name,ApiKey\nJonas Nielsen,test_api_key_9\n", access.UnknownAPIKey},
		"the key is another's":        {"Name,ApiKey\nops,test_api_key_0\n", access.UnknownAPIKey},
		"the key has come back again": {notarys, ""},
	} {
		l.read(t, c.text)
		err := k.Still(request("/"), who)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		if refusal := refused(t, nil, err); refusal.Reason != c.want {
			t.Errorf("%s: got %v", what, refusal)
		}
	}
	l.now = new(Whitelist)
	if refusal := refused(t, nil, k.Still(request("/"), who)); refusal.Reason != access.UnknownAPIKey {
		t.Errorf("got %v", refusal)
	}
	for what, stranger := range map[string]*access.Identity{"nobody": nil, "a token": {Mode: access.JWT, ID: who.ID, Token: &ctb.Token{}}} {
		if refusal := refused(t, nil, k.Still(request("/"), stranger)); refusal.Reason != access.MissingCredential {
			t.Errorf("%s: got %v", what, refusal)
		}
	}
}

func TestNewKeysRefuses(t *testing.T) {
	if _, err := NewKeys(nil, ""); err == nil || !strings.Contains(err.Error(), "whitelist: missing") {
		t.Errorf("got %v", err)
	}
	for header, want := range map[string]string{"Cookie": "holds more than a token", "Host": "how the request is to be read", "X Key": "want the name of one"} {
		if _, err := NewKeys(&list{}, header); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", header, err)
		}
	}
	if _, err := keys(t, &list{}, "").Authenticate(request("/", [2]string{"X-API-Key", "k"})); err == nil {
		t.Error("a source without a list let somebody in")
	}
}

func TestAny(t *testing.T) {
	l := newList(t, notarys)
	down, err := NewTokens([]Issuer{{issuerName, verifier(t, func(c *ctb.Config) { c.Keys = failing{} })}})
	if err != nil {
		t.Fatal(err)
	}
	good, bad := mint(t, "ES256", nil), mint(t, "ES256", claims{"exp": 1})
	token := func(raw string) [2]string { return [2]string{"Authorization", "Bearer " + raw} }
	key := func(k string) [2]string { return [2]string{"X-API-Key", k} }
	raw := func(k string) [2]string { return [2]string{"Authorization", k} }
	type lines = [][2]string

	// is asks in both orders: who is let in may depend on it, the reason of a refusal may not.
	is := func(what string, first, second access.Authenticator, lines lines, want ...any) {
		t.Helper()
		for i, a := range []Any{{first, second}, {second, first}} {
			want := want[i%len(want)]
			who, err := a.Authenticate(request("/", lines...))
			if mode, good := want.(access.Mode); good {
				if err != nil || who.Mode != mode {
					t.Errorf("%s: got %+v, %v, want %v", what, who, err, mode)
				}
				continue
			}
			if refusal := refused(t, who, err); refusal.Reason != want {
				t.Errorf("%s: got %s, want %s", what, refusal.Reason, want)
			}
		}
	}
	jwt, keyed, rawKeyed := tokens(t), keys(t, l, ""), keys(t, l, "Authorization")
	is("a token", jwt, keyed, lines{token(good)}, access.JWT)
	is("a key", jwt, keyed, lines{key("test_api_key_0")}, access.APIKey)
	is("both", jwt, keyed, lines{token(good), key("test_api_key_0")}, access.JWT, access.APIKey)
	is("a bad token and a key", jwt, keyed, lines{token(bad), key("test_api_key_0")}, access.APIKey)
	is("a token and a bad key", jwt, keyed, lines{token(good), key("x")}, access.JWT)
	is("two keys and a token", jwt, keyed, lines{token(good), key("x"), key("test_api_key_0")}, access.JWT)
	is("nothing", jwt, keyed, nil, access.MissingCredential)
	is("a bad token", jwt, keyed, lines{token(bad)}, access.InvalidToken)
	is("a bad key", jwt, keyed, lines{key("x")}, access.UnknownAPIKey)
	is("a bad token and a bad key", jwt, keyed, lines{token(bad), key("x")}, access.InvalidToken)
	is("another scheme", jwt, keyed, lines{raw("Basic YTpi")}, access.MalformedCredential)
	is("another scheme and a bad key", jwt, keyed, lines{raw("Basic YTpi"), key("x")}, access.UnknownAPIKey)
	is("two tokens and a bad key", jwt, keyed, lines{token(good), token(good), key("x")}, access.SeveralCredentials)

	is("keys are down: a token", down, keyed, lines{token(good)}, access.KeysUnavailable)
	is("keys are down: a token and a bad key", down, keyed, lines{token(good), key("x")}, access.KeysUnavailable)
	is("keys are down: a token and a key", down, keyed, lines{token(good), key("test_api_key_0")}, access.APIKey)
	is("keys are down: a bad token", down, keyed, lines{token(bad)}, access.InvalidToken)

	is("raw: a token", jwt, rawKeyed, lines{token(good)}, access.JWT)
	is("raw: a key", jwt, rawKeyed, lines{raw("test_api_key_0")}, access.APIKey)
	is("raw: a bad key", jwt, rawKeyed, lines{raw("x")}, access.UnknownAPIKey)
	is("raw: a bad token", jwt, rawKeyed, lines{token(bad)}, access.InvalidToken)
	is("raw: a token whose keys are down", down, rawKeyed, lines{token(good)}, access.KeysUnavailable)
	is("raw: both", jwt, rawKeyed, lines{token(good), raw("test_api_key_0")}, access.SeveralCredentials)
	is("raw: nothing", jwt, rawKeyed, nil, access.MissingCredential)

	if refusal := refused(t, nil, Any{}.Still(request("/"), nil)); refusal.Reason != access.MissingCredential {
		t.Errorf("got %v", refusal)
	}
	who, err := Any{}.Authenticate(request("/", token(good)))
	if refusal := refused(t, who, err); refusal.Reason != access.MissingCredential {
		t.Errorf("got %v", refusal)
	}
}

func TestAnyStillAndStrip(t *testing.T) {
	l := newList(t, notarys)
	a := Any{tokens(t, inAuthorization, inQuery), keys(t, l, "")}
	jwt, err := a.Authenticate(bearing(mint(t, "ES256", nil)))
	if err != nil {
		t.Fatal(err)
	}
	key, err := a.Authenticate(request("/", [2]string{"X-API-Key", "test_api_key_0"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []*access.Identity{jwt, key} {
		if err := a.Still(request("/"), who); err != nil {
			t.Errorf("%s: %v", who.Mode, err)
		}
	}
	l.now = new(Whitelist)
	if refusal := refused(t, nil, a.Still(request("/"), key)); refusal.Reason != access.UnknownAPIKey {
		t.Errorf("got %v", refusal)
	}
	h := http.Header{"Authorization": {"Bearer x"}, "X-Api-Key": {"k"}, "X-Token": {"stays"}}
	if query := a.Strip(h, "a=1&access_token=x"); query != "a=1" || len(h) != 1 || h.Get("X-Token") != "stays" {
		t.Errorf("got %q and %v", query, h)
	}
}
