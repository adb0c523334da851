package fetch

import (
	"net/url"
	"testing"
)

func TestPrivate(t *testing.T) {
	for raw, want := range map[string]bool{
		"https://idp.example.com/":   true,
		"https://127.0.0.1:8080":     true,
		"http://127.0.0.1:8080/keys": true,
		"http://127.9.9.9":           true,
		"http://[::1]:1":             true,
		"http://localhost":           true,
		"http://idp.example.com/":    false,
		"http://localhost.example":   false,
		"http://127.0.0.1.example":   false,
		"http://192.168.0.1":         false,
		"https:///keys":              false,
		"https://:8080":              false,
		"file:///keys":               false,
		"127.0.0.1":                  false,
		"":                           false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := Private(u); got != want {
			t.Errorf("%q: got %v, want %v", raw, got, want)
		}
	}
}
