package exchange

import (
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// wanted is a good form, with changes: pairs of a name and a value to add, or
// "-name" to take a parameter away.
func wanted(changes ...string) url.Values {
	form := url.Values{
		"grant_type":         {GrantType},
		"subject_token":      {"e30.e30.c2ln"},
		"subject_token_type": {TypeIDToken},
	}
	for i := 0; i < len(changes); i += 2 {
		if name, gone := strings.CutPrefix(changes[i], "-"); gone {
			form.Del(name)
			if changes[i+1] != "" {
				form.Set(name, changes[i+1])
			}
		} else {
			form.Add(changes[i], changes[i+1])
		}
	}
	return form
}

func TestParseRequestReadsWhatIsAsked(t *testing.T) {
	got, err := ParseRequest(wanted(
		"audience", "api", "audience", "", "audience", "other api", "resource", "https://api.example.com/v1?x=1",
		"scope", "openid read:reports", "requested_token_type", TypeJWT, "client_id", "client",
		"unheard_of", "ignored", "nonce", ""))
	if err != nil {
		t.Fatal(err)
	}
	want := &Request{
		SubjectToken: "e30.e30.c2ln", SubjectTokenType: TypeIDToken, RequestedTokenType: TypeJWT, ClientID: "client",
		Audience: []string{"api", "other api"}, Resource: []string{"https://api.example.com/v1?x=1"},
		Scope: []string{"openid", "read:reports"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParseRequestRefuses(t *testing.T) {
	long := strings.Repeat("a", MaxToken+1)
	for name, c := range map[string]struct {
		form url.Values
		code string
		says string
	}{
		"an empty form":                 {url.Values{}, InvalidRequest, "grant_type is missing"},
		"another grant":                 {wanted("-grant_type", "authorization_code"), UnsupportedGrantType, "grant_type must be"},
		"a grant in capitals":           {wanted("-grant_type", strings.ToUpper(GrantType)), UnsupportedGrantType, "grant_type must be"},
		"two grants":                    {wanted("grant_type", GrantType), InvalidRequest, "repeated"},
		"no subject":                    {wanted("-subject_token", ""), InvalidRequest, "subject_token is missing"},
		"two subjects":                  {wanted("subject_token", "x"), InvalidRequest, "repeated"},
		"a huge subject":                {wanted("-subject_token", long), InvalidRequest, "longer than 16384"},
		"no subject type":               {wanted("-subject_token_type", ""), InvalidRequest, "subject_token_type is missing"},
		"an access token as subject":    {wanted("-subject_token_type", TypeAccessToken), InvalidRequest, "subject_token_type must be"},
		"a saml subject":                {wanted("-subject_token_type", "urn:ietf:params:oauth:token-type:saml2"), InvalidRequest, "subject_token_type must be"},
		"a refresh token wanted":        {wanted("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), InvalidRequest, "requested_token_type must be"},
		"an id token wanted":            {wanted("requested_token_type", TypeIDToken), InvalidRequest, "requested_token_type must be"},
		"an actor":                      {wanted("actor_token", "x"), InvalidRequest, "delegation"},
		"an actor type alone":           {wanted("actor_token_type", TypeJWT), InvalidRequest, "delegation"},
		"a client secret":               {wanted("client_id", "c", "client_secret", "s"), InvalidClient, "not authenticated"},
		"a client assertion":            {wanted("client_assertion", "x"), InvalidClient, "not authenticated"},
		"a client assertion type":       {wanted("client_assertion_type", "x"), InvalidClient, "not authenticated"},
		"rich authorization details":    {wanted("authorization_details", "[]"), InvalidRequest, "audience, resource and scope"},
		"two scopes parameters":         {wanted("scope", "a", "scope", "b"), InvalidRequest, "repeated"},
		"an unknown parameter twice":    {wanted("x", "1", "x", "2"), InvalidRequest, "repeated"},
		"a client id with a newline":    {wanted("client_id", "a\nb"), InvalidRequest, "client_id"},
		"two spaces in scope":           {wanted("scope", "a  b"), InvalidScope, "one space"},
		"a space after the scope":       {wanted("scope", "a "), InvalidScope, "one space"},
		"a tab in scope":                {wanted("scope", "a\tb"), InvalidScope, "printable"},
		"a quote in scope":              {wanted("scope", `a"b`), InvalidScope, "quotes"},
		"a backslash in scope":          {wanted("scope", `a\b`), InvalidScope, "backslashes"},
		"a scope beyond ASCII":          {wanted("scope", "läsen"), InvalidScope, "ASCII"},
		"a long scope":                  {wanted("scope", strings.Repeat("a", MaxScope+1)), InvalidScope, "4096"},
		"many scopes":                   {wanted("scope", strings.Repeat("a ", MaxScopes)+"a"), InvalidScope, "128"},
		"a relative resource":           {wanted("resource", "/reports"), InvalidTarget, "absolute URI"},
		"a resource without a scheme":   {wanted("resource", "api.example.com"), InvalidTarget, "absolute URI"},
		"a resource with a fragment":    {wanted("resource", "https://api.example.com/#x"), InvalidTarget, "fragment"},
		"a resource, empty fragment":    {wanted("resource", "https://api.example.com/#"), InvalidTarget, "fragment"},
		"a resource with a space":       {wanted("resource", "https://api.example.com/a b"), InvalidTarget, "absolute URI"},
		"a resource that is a scheme":   {wanted("resource", "https:"), InvalidTarget, "absolute URI"},
		"a resource with a bad escape":  {wanted("resource", "https://api.example.com/%zz"), InvalidTarget, "absolute URI"},
		"a long resource":               {wanted("resource", "https://a/"+strings.Repeat("a", MaxTarget)), InvalidTarget, "2048"},
		"a long audience":               {wanted("audience", strings.Repeat("a", MaxTarget+1)), InvalidTarget, "2048"},
		"an audience that is not UTF-8": {wanted("audience", "\xff"), InvalidTarget, "audience must be text"},
		"an audience with a NUL":        {wanted("audience", "a\x00"), InvalidTarget, "control"},
		"many audiences":                {url.Values{"grant_type": {GrantType}, "subject_token": {"x"}, "subject_token_type": {TypeJWT}, "audience": strings.Split(strings.Repeat("a ", MaxTargets)+"a", " ")}, InvalidTarget, "more than 32"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseRequest(c.form)
			var refusal *Error
			if !errors.As(err, &refusal) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if refusal.Code != c.code || !strings.Contains(refusal.Description, c.says) {
				t.Errorf("got %q, want %s … %s", refusal, c.code, c.says)
			}
			if !printable(refusal.Description) || strings.ContainsAny(refusal.Description, `"\`) {
				t.Errorf("the description %q has characters that RFC 6749 section 5.2 excludes", refusal.Description)
			}
		})
	}
}

func TestTooManyParameters(t *testing.T) {
	form := wanted()
	for i := range maxParameters {
		form.Set("p"+strings.Repeat("x", i), "1")
	}
	if _, err := ParseRequest(form); err == nil {
		t.Error("a form of 67 parameters was read")
	}
}

// FuzzParseRequest checks that nothing panics, and that what parses comes back the same.
func FuzzParseRequest(f *testing.F) {
	for _, form := range []url.Values{
		wanted(), wanted("scope", "a b", "audience", "x", "resource", "https://a/b"),
		wanted("actor_token", "x"), wanted("requested_token_type", TypeJWT, "client_id", "c"),
	} {
		f.Add(form.Encode())
	}
	f.Add("grant_type=%zz&;&subject_token")
	f.Fuzz(func(t *testing.T, body string) {
		form, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		first, err := ParseRequest(form)
		if err != nil {
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.Code == "" {
				t.Fatalf("got %v, want an *Error with a code", err)
			}
			return
		}
		second, err := ParseRequest(first.Form())
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("the form of %+v reads as %+v, %v", first, second, err)
		}
	})
}
