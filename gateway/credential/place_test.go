package credential

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

var (
	inAuthorization = Place{Kind: Authorization}
	inHeader        = Place{Kind: Header, Name: "X-Token"}
	inCookie        = Place{Kind: Cookie, Name: "token"}
	inQuery         = Place{Kind: Query, Name: "access_token"}
	inSubprotocol   = Place{Kind: WebSocketProtocol}
	everywhere      = []Place{inAuthorization, inHeader, inCookie, inQuery, inSubprotocol}
)

// look returns the token that stands in the places, or why there is none.
func look(r *http.Request, places ...Place) (string, access.Reason) {
	var f found
	for _, p := range places {
		p.find(r.Header, r.URL.RawQuery, &f)
	}
	raw, refusal := f.one()
	if refusal != nil {
		return "", refusal.Reason
	}
	return raw, ""
}

func TestFind(t *testing.T) {
	const none, odd, several = access.MissingCredential, access.MalformedCredential, access.SeveralCredentials
	is := func(at Place, want any, target string, lines ...[2]string) {
		t.Helper()
		raw, reason := look(request(target, lines...), at)
		if want != any(raw) && want != any(reason) {
			t.Errorf("%s?%s %q: got %q %s, want %v", at, target, lines, raw, reason, want)
		}
	}
	in := func(at Place, name string) func(want any, values ...string) {
		return func(want any, values ...string) {
			t.Helper()
			var lines [][2]string
			for _, v := range values {
				lines = append(lines, [2]string{name, v})
			}
			is(at, want, "/", lines...)
		}
	}

	authorization := in(inAuthorization, "Authorization")
	authorization(none)
	authorization("a.b.c", "Bearer a.b.c")
	authorization("a.b.c", "bearer a.b.c")
	authorization("a.b.c", "BEARER   a.b.c")
	authorization(odd, "")
	authorization(odd, "Bearer")
	authorization(odd, "Bearer  ")
	authorization(odd, "a.b.c")
	authorization(odd, "Bearer:a.b.c")
	authorization(odd, "Bearer\ta.b.c")
	authorization(odd, "Bearer a.b.c d.e.f")
	authorization(odd, "Bearer a.b.c,d.e.f")
	authorization(odd, "Bearer a.b.c, Bearer d.e.f")
	authorization(odd, "Bearer a.b.c\td.e.f")
	authorization(odd, "Basic YTpi")
	authorization(odd, "DPoP a.b.c")
	authorization(odd, "Bearerr a.b.c")
	authorization(several, "Bearer a.b.c", "Bearer a.b.c")
	authorization(several, "Basic YTpi", "Bearer a.b.c")
	authorization(several, "", "Bearer a.b.c")

	header := in(inHeader, "x-token")
	header(none)
	header(none, "")
	header("a.b.c", "a.b.c")
	header(odd, "Bearer a.b.c")
	header(odd, "a.b.c, d.e.f")
	header(odd, "a.b.c,d.e.f")
	header(several, "a.b.c", "a.b.c")

	cookie := in(inCookie, "Cookie")
	cookie(none)
	cookie(none, "a=1")
	cookie(none, "token=")
	cookie(none, `token=""`)
	cookie(none, "token")
	cookie(none, "Token=a.b.c")
	cookie(none, "xtoken=a.b.c; tokenx=a.b.c")
	cookie("a.b.c", "token=a.b.c")
	cookie("a.b.c", `token="a.b.c"`)
	cookie("a.b.c", "a=1; token=a.b.c; b=2")
	cookie("a.b.c", "a=1;token=a.b.c;b=2")
	cookie("a.b.c", "a=1", "token=a.b.c")
	cookie("a.b.c", "token=; token=a.b.c")
	cookie("a.b.c", "token = a.b.c")
	cookie("a.b.c=", "token=a.b.c=")
	cookie(`"a.b.c`, `token="a.b.c`)
	cookie(odd, "token=a.b.c, x=1")
	cookie(odd, "token=a b")
	cookie(several, "token=a.b.c; token=a.b.c")
	cookie(several, "token=a.b.c", "token=d.e.f")

	query := func(want any, rawQuery string) {
		t.Helper()
		is(inQuery, want, "/x?"+rawQuery)
	}
	query(none, "")
	query(none, "a=1")
	query(none, "access_token=")
	query(none, "access_token")
	query(none, "Access_token=a.b.c")
	query(none, "x=access_token=a.b.c")
	query(none, "access%2574oken=a.b.c")
	query(none, "access_token%00=a.b.c")
	query(none, "access%zztoken=a.b.c")
	query("a.b.c", "access_token=a.b.c")
	query("a.b.c", "a=1&access_token=a.b.c&b=2")
	query("a.b.c", "acces%73_token=a.b.c")
	query("a.b.c", "%61%63%63%65%73%73%5F%74%6f%6b%65%6E=a.b.c")
	query("a.b.c", "access_token=a%2Eb%2ec")
	query("a.b.c", "a=1;access_token=a.b.c")
	query("a.b.c", "access_token=a.b.c;a=1")
	query("a.b.c", "&&access_token=a.b.c&&")
	query("a.b.c=", "access_token=a.b.c=")
	query(odd, "access_token=a.b%zz")
	query(odd, "access_token=a+b")
	query(odd, "access_token=a%20b")
	query(odd, "access_token=a.b.c%2Cd")
	query(several, "access_token=a.b.c&access_token=a.b.c")
	query(several, "access_token=a.b.c&acces%73_token=d.e.f")
	query(several, "access_token=a.b.c;access_token=d.e.f")

	subprotocol := in(inSubprotocol, "Sec-WebSocket-Protocol")
	subprotocol(none)
	subprotocol(none, "chat")
	subprotocol(none, "a.b.c")
	subprotocol("a.b.c", "bearer, a.b.c")
	subprotocol("a.b.c", "Bearer,a.b.c")
	subprotocol("a.b.c", "chat, bearer, a.b.c, superchat")
	subprotocol("a.b.c", "chat", "bearer", "a.b.c")
	subprotocol("a.b.c", "chat, bearer", "a.b.c, superchat")
	subprotocol("a.b.c", "bearer,, ,a.b.c")
	subprotocol("bearer", "bearer, bearer")
	subprotocol(odd, "bearer")
	subprotocol(odd, "a.b.c, bearer")
	subprotocol(odd, "bearer,", ",")
	subprotocol(odd, "bearer, a b")
	subprotocol(several, "bearer, a.b.c, bearer, a.b.c")
	subprotocol(several, "bearer, a.b.c, bearer")
	subprotocol(several, "bearer, a.b.c", "bearer, d.e.f")
}

// show puts a token into a place of a request.
func show(r *http.Request, at Place, token string) {
	switch at.Kind {
	case Authorization:
		r.Header.Add("Authorization", "Bearer "+token)
	case Header:
		r.Header.Add(at.Name, token)
	case Cookie:
		r.Header.Add("Cookie", at.Name+"="+token)
	case Query:
		r.URL.RawQuery += "&" + at.Name + "=" + token
	case WebSocketProtocol:
		r.Header.Add("Sec-WebSocket-Protocol", "bearer, "+token)
	}
}

func TestOneTokenInAllPlaces(t *testing.T) {
	for i, first := range everywhere {
		for j, second := range everywhere {
			r := request("/?a=1")
			show(r, first, "a.b.c")
			if raw, reason := look(r, everywhere...); raw != "a.b.c" {
				t.Errorf("%s: got %s", first, reason)
			}
			show(r, second, "a.b.c")
			if _, reason := look(r, everywhere...); reason != access.SeveralCredentials {
				t.Errorf("%s and %s: got %s", first, second, reason)
			}
			if raw, reason := look(r, first); i != j && raw != "a.b.c" {
				t.Errorf("%s is no place, and %s is: got %s", second, first, reason)
			}
		}
	}
	// What is no token leaves room for one, unless it was meant to be one.
	for value, want := range map[string]string{"Basic YTpi": "a.b.c", "Bearer": "", "Bearer x y": ""} {
		r := request("/", [2]string{"Authorization", value}, [2]string{"Cookie", "token=a.b.c"})
		if raw, reason := look(r, everywhere...); raw != want || want == "" && reason != access.SeveralCredentials {
			t.Errorf("%s beside a cookie: got %q %s", value, raw, reason)
		}
	}
}

func TestStrip(t *testing.T) {
	line := func(at Place, name, before, after string) {
		t.Helper()
		h := http.Header{"Other": {"stays"}}
		for _, v := range strings.Split(before, "|") {
			h.Add(name, v)
		}
		shared := h.Clone()
		lines := shared[http.CanonicalHeaderKey(name)]
		untouched := fmt.Sprint(lines)
		at.strip(shared, "")
		if got := strings.Join(shared.Values(name), "|"); got != after || shared.Get("Other") != "stays" {
			t.Errorf("%s: %s became %s, want %s", at, before, got, after)
		}
		if fmt.Sprint(lines) != untouched {
			t.Errorf("%s: the client's own lines were changed", at)
		}
	}
	line(inAuthorization, "Authorization", "Bearer a.b.c", "")
	line(inAuthorization, "Authorization", "Basic YTpi|Bearer a.b.c", "")
	line(inHeader, "X-Token", "a.b.c|x", "")
	line(inHeader, "X-Tokens", "a.b.c", "a.b.c")

	line(inCookie, "Cookie", "a=1;b=2;  c = 3;", "a=1;b=2;  c = 3;")
	line(inCookie, "Cookie", "token=a.b.c", "")
	line(inCookie, "Cookie", "token=a.b.c;", "")
	line(inCookie, "Cookie", "token=; a=1", "a=1")
	line(inCookie, "Cookie", "a=1; token=a.b.c; b=2", "a=1; b=2")
	line(inCookie, "Cookie", `a="x"; token="a.b.c"; token=d; b=2`, `a="x"; b=2`)
	line(inCookie, "Cookie", "a=1;token = x ;b=2;;", "a=1;b=2;;")
	line(inCookie, "Cookie", "token=x|a=1|b=2; token", "a=1|b=2")
	line(inCookie, "Cookie", "Token=x; xtoken=y", "Token=x; xtoken=y")

	line(inSubprotocol, "Sec-WebSocket-Protocol", "chat, superchat", "chat, superchat")
	line(inSubprotocol, "Sec-WebSocket-Protocol", "bearer, a.b.c", "")
	line(inSubprotocol, "Sec-WebSocket-Protocol", "bearer", "")
	line(inSubprotocol, "Sec-WebSocket-Protocol", "chat,  v1 , BEARER, a.b.c, superchat", "chat,  v1 , superchat")
	line(inSubprotocol, "Sec-WebSocket-Protocol", "bearer, a.b.c, chat", "chat")
	line(inSubprotocol, "Sec-WebSocket-Protocol", "chat|bearer|a.b.c|superchat", "chat|superchat")
	line(inSubprotocol, "Sec-WebSocket-Protocol", "chat, bearer|a.b.c, superchat, bearer", "chat|superchat")
	line(inSubprotocol, "Sec-WebSocket-Protocol", "bearer,,a.b.c,,chat", ",,chat")

	line(inQuery, "Referer", "https://a.example.com/x?access_token=a.b.c", "https://a.example.com/x")
	line(inQuery, "Referer", "https://a.example.com/x?a=1&access_token=a.b.c&b=%20", "https://a.example.com/x?a=1&b=%20")
	line(inQuery, "Referer", "https://a.example.com/access_token=a.b.c", "https://a.example.com/access_token=a.b.c")

	query := func(before, after string) {
		t.Helper()
		if got := inQuery.strip(http.Header{}, before); got != after {
			t.Errorf("%s became %s, want %s", before, got, after)
		}
	}
	query("", "")
	query("&", "&")
	query("b=2&a=1;c=%zz&%61=+", "b=2&a=1;c=%zz&%61=+")
	query("access_token=a.b.c", "")
	query("access_token", "")
	query("a=1&access_token=a.b.c", "a=1")
	query("access_token=a.b.c&a=1", "a=1")
	query("a=1&access_token=a.b.c&b=2", "a=1&b=2")
	query("a=1;access_token=a.b.c&b=2", "a=1&b=2")
	query("a=1&access_token=a.b.c;b=2", "a=1;b=2")
	query("a=1&acces%73_token=x&a=1&access_token=&%41=%20", "a=1&a=1&%41=%20")
	query("access_token=a.b%zz&a=1", "a=1")
	query("x=access_token&access_tokens=1", "x=access_token&access_tokens=1")
}

func TestPlacesThatCannotBe(t *testing.T) {
	for want, p := range map[string]Place{
		`token place is "body"`:                             {Kind: "body"},
		`token place is ""`:                                 {},
		`token place authorization has the name "X-Token"`:  {Authorization, "X-Token"},
		`token place websocket_protocol has the name "x"`:   {WebSocketProtocol, "x"},
		`header is ""`:                                      {Kind: Header},
		`header is "X Token"`:                               {Header, "X Token"},
		`header is "X-Tökén"`:                               {Header, "X-Tökén"},
		`header authorization holds more than a token`:      {Header, "authorization"},
		`header Cookie holds more than a token`:             {Header, "Cookie"},
		`header Sec-WebSocket-Protocol holds more`:          {Header, "Sec-WebSocket-Protocol"},
		`header host says how the request is to be read`:    {Header, "host"},
		`header Transfer-Encoding says how the request`:     {Header, "Transfer-Encoding"},
		`token place cookie has the name ""`:                {Kind: Cookie},
		`token place cookie has the name "a;b"`:             {Cookie, "a;b"},
		`token place query has the name "access%5ftoken"`:   {Query, "access%5ftoken"},
		`token place query has the name "access token", `:   {Query, "access token"},
		`token place query has the name "tok\u00e9n", want`: {Query, "tokén"},
	} {
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(want, `\u00e9`, "é")) {
			t.Errorf("%+v: got %v, want %q", p, err, want)
		}
	}
	for _, p := range everywhere {
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}
