package main

import (
	"os"
	"strings"
	"testing"
)

func TestConfigure(t *testing.T) {
	s := &site{dir: t.TempDir(), upstream: "127.0.0.1:3000"}
	files, err := configurations.ReadDir("conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		p, path, err := s.configure("a peer", f.Name(), settings{Algorithm: "ES256", Key: "/keys/ES256.pem", Authorize: "127.0.0.1:3001"})
		if err != nil {
			t.Errorf("%s: %v", f.Name(), err)
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), p.address) || strings.Contains(string(text), "{{") || strings.Contains(string(text), "no value") {
			t.Errorf("%s: want it to listen at %s, and nothing left open: %s", f.Name(), p.address, text)
		}
	}
	if _, _, err := s.configure("a peer", "missing.conf", settings{}); err == nil {
		t.Error("a configuration that is not there: got no error")
	}
}
