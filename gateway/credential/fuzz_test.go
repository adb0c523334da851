package credential

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// all checks that no place yields a token once everything is stripped.
func all(t *testing.T, places []Place, header http.Header, rawQuery string) (http.Header, string) {
	t.Helper()
	left := header.Clone()
	for _, p := range places {
		rawQuery = p.strip(left, rawQuery)
	}
	var f found
	for _, p := range places {
		p.find(left, rawQuery, &f)
	}
	if f.count > 0 || f.token != "" {
		t.Errorf("%q and %q still have %q", left, rawQuery, f.token)
	}
	return left, rawQuery
}

// rest are the elements of a list that nobody takes for a token.
func rest(lines []string, separators string, gone func(string) bool) (left []string) {
	for _, line := range lines {
		for element := range strings.FieldsFuncSeq(line, func(c rune) bool { return strings.ContainsRune(separators, c) }) {
			if !gone(trim(element)) && trim(element) != "" {
				left = append(left, trim(element))
			}
		}
	}
	return left
}

func never(string) bool { return false }

// pairs are the parameters of a query, in which white space belongs to names and values.
func pairs(rawQuery string) []string {
	return strings.FieldsFunc(rawQuery, func(c rune) bool { return strings.ContainsRune(querySeparators, c) })
}

func FuzzStripQuery(f *testing.F) {
	for _, seed := range []string{"", "a=1&access_token=x&b=2", "acces%73_token=x;a=%zz", "&&access_token;;x=&", "access_token=a&access_token=b", "%", "a=%20&%61ccess_token", "0&%61ccess_token ", "access_token =x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, rawQuery string) {
		_, left := all(t, []Place{inQuery}, http.Header{}, rawQuery)
		wanted := slices.DeleteFunc(pairs(rawQuery), func(pair string) bool { _, ok := queryValue(pair, inQuery.Name); return ok })
		if got := pairs(left); !slices.Equal(got, wanted) {
			t.Errorf("%q became %q", rawQuery, left)
		}
		if !strings.Contains(rawQuery, "ccess") && !strings.Contains(rawQuery, "%") && left != rawQuery {
			t.Errorf("%q became %q", rawQuery, left)
		}
		if again := stripQuery(left, inQuery.Name); again != left {
			t.Errorf("%q, stripped again, is %q", left, again)
		}
	})
}

func FuzzStripCookie(f *testing.F) {
	for _, seed := range []string{"", "a=1; token=x; b=2", "token=x;token=y", `token="x"; a="1;2"`, " token =x;", ";;token", "a=1;\ttoken\t=\tx;b"} {
		f.Add(seed, "a=1")
		f.Add("a=1; b", seed)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		lines := []string{first, second}
		left, _ := all(t, []Place{inCookie}, http.Header{"Cookie": lines}, "")
		wanted := rest(lines, ";", func(pair string) bool { _, ok := cookieValue(pair, inCookie.Name); return ok })
		if got := rest(left["Cookie"], ";", never); !reflect.DeepEqual(got, wanted) {
			t.Errorf("%q became %q", lines, left)
		}
		if !strings.Contains(first+second, "token") && !reflect.DeepEqual(left["Cookie"], lines) {
			t.Errorf("%q became %q", lines, left)
		}
	})
}

func FuzzStripSubprotocol(f *testing.F) {
	for _, seed := range []string{"", "bearer, x", "chat, bearer", "x, chat", "bearer,,", "Bearer,bearer,bearer", " , ,chat"} {
		f.Add(seed, "chat")
		f.Add("chat, bearer", seed)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		lines := []string{first, second}
		left, _ := all(t, []Place{inSubprotocol}, http.Header{"Sec-Websocket-Protocol": lines}, "")
		var s sorter
		wanted := rest(lines, ",", func(element string) bool { return s.next(element) != ordinary })
		if got := rest(left["Sec-Websocket-Protocol"], ",", never); !reflect.DeepEqual(got, wanted) {
			t.Errorf("%q became %q", lines, left)
		}
		if announcement(left) != "" {
			t.Errorf("%q still announces a token", left)
		}
		if announcement(http.Header{"Sec-Websocket-Protocol": lines}) == "" && !reflect.DeepEqual(left["Sec-Websocket-Protocol"], lines) {
			t.Errorf("%q became %q", lines, left)
		}
	})
}

func FuzzStripReferer(f *testing.F) {
	f.Add("https://a.example.com/x?a=1&access_token=a.b.c")
	f.Add("?access_token=x?access_token=y#z")
	f.Fuzz(func(t *testing.T, page string) {
		h := http.Header{"Referer": {page}}
		inQuery.strip(h, "")
		_, query, _ := strings.Cut(h.Get("Referer"), "?")
		var at found
		findQuery(query, inQuery, &at)
		if at.count > 0 {
			t.Errorf("%q still has %q", h, at.token)
		}
	})
}

func FuzzAuthenticate(f *testing.F) {
	a := tokens(f, everywhere...)
	good := mint(f, "ES256", nil)
	f.Add("Bearer "+good, "", "", "", "")
	f.Add("", good, "", "", "")
	f.Add("", "", "a=1; token="+good, "", "")
	f.Add("", "", "", "access_token="+good, "")
	f.Add("", "", "", "", "chat, bearer, "+good)
	f.Add("Bearer x", "y", "token=z", "access_token=w", "bearer, v")
	f.Fuzz(func(t *testing.T, authorization, header, cookie, query, subprotocol string) {
		h := http.Header{"Authorization": {authorization}, "X-Token": {header}, "Cookie": {cookie}, "Sec-Websocket-Protocol": {subprotocol}}
		r := request("/")
		r.Header, r.URL.RawQuery = h, query
		who, err := a.Authenticate(r)
		if err != nil {
			refused(t, who, err)
		}
		r.Header = h.Clone()
		r.URL.RawQuery = a.Strip(r.Header, query)
		who, err = a.Authenticate(r)
		if refusal := refused(t, who, err); refusal.Reason != access.MissingCredential {
			t.Errorf("%q and %q are left: %v", r.Header, r.URL.RawQuery, refusal)
		}
	})
}

func FuzzParseWhitelist(f *testing.F) {
	f.Add([]byte(notarys))
	f.Add([]byte("\ufeffName,ApiKeySha256\r\nops," + hashed("k1") + "\r\n"))
	f.Add([]byte(table3("CreatedAt,Name,ApiKey", `"`)))
	f.Add([]byte("Name,ApiKey\nops,\"a\nb\"\n"))
	f.Add([]byte("Name,ApiKey\nops,k"))
	f.Fuzz(func(t *testing.T, list []byte) {
		w, err := ParseWhitelist(list)
		if (w == nil) == (err == nil) || w != nil && w.Len() == 0 {
			t.Fatalf("got %v with %v", w, err)
		}
		if err != nil {
			return
		}
		if w.find("") != nil {
			t.Error("the empty key was let in")
		}
		out, err := HashWhitelist(list)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseWhitelist(out)
		if err != nil || again.Len() != w.Len() {
			t.Fatalf("%q became %q: %v", list, out, err)
		}
		for digest, who := range w.digests {
			if now := again.digests[digest]; now == nil || *now != *who {
				t.Errorf("%+v became %+v", who, now)
			}
		}
	})
}
