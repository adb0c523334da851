package nitro_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/nitro"
	"github.com/confidential-token-broker/ctb/attest/nitro/nitrotest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// FuzzParseDocument: what parses keeps its bounds, a document has one encoding but for its tag, and none is
// genuine but those that the module has made.
func FuzzParseDocument(f *testing.F) {
	sound := newModule(f, nitrotest.Config{})
	made := [][]byte{
		sound.Document(make([]byte, 64), nil, nil, at),
		sound.Document(bytes.Repeat([]byte{1}, 512), make([]byte, 512), make([]byte, 1024), at),
	}
	for _, doc := range made {
		f.Add(doc)
		f.Add(append([]byte{0xd2}, doc...))
		f.Add(doc[:len(doc)/2])
	}
	for i, fault := range nitrotest.Faults() {
		if raceEnabled && i%7 != 0 {
			continue
		}
		if rank, _, _ := strings.Cut(string(fault), "-"); rank == "region" || rank == "zone" || rank == "instance" {
			continue // one certificate is parsed as another
		}
		m, err := nitrotest.New(nitrotest.Config{Seed: seed, Now: func() time.Time { return at }, Fault: fault})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Document(make([]byte, 64), nil, nil, at))
	}
	v := &nitro.Verifier{Root: sound.Root()}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := nitro.ParseDocument(data)
		_, verifyErr := v.Verify(context.Background(), &tee.Evidence{Platform: tee.Nitro, Quote: data}, at)
		bare := bytes.TrimPrefix(data, []byte{0xd2})
		known := bytes.Equal(bare, made[0]) || bytes.Equal(bare, made[1])
		if known != (verifyErr == nil) {
			t.Errorf("made by the module: %t; verifying says %v", known, verifyErr)
		}
		if err != nil {
			if verifyErr == nil {
				t.Errorf("genuine, though parsing says %v", err)
			}
			return
		}
		checkBounds(t, d)
		if tagged, err := nitro.ParseDocument(append([]byte{0xd2}, bare...)); err != nil || tagged.ModuleID != d.ModuleID {
			t.Errorf("with the tag: %v", err)
		}
	})
}

func checkBounds(t *testing.T, d *nitro.Document) {
	t.Helper()
	if d.ModuleID == "" || d.Timestamp.IsZero() || len(d.PCRs) == 0 || len(d.PCRs) > 32 || len(d.CABundle) == 0 || len(d.CABundle) > 8 {
		t.Errorf("got %+v", d)
	}
	for i, value := range d.PCRs {
		if i > 31 || len(value) != 48 {
			t.Errorf("register %d has %d bytes", i, len(value))
		}
	}
	for _, der := range append(d.CABundle, d.Certificate) {
		if len(der) == 0 || len(der) > 1024 {
			t.Errorf("a certificate has %d bytes", len(der))
		}
	}
	if len(d.UserData) > 512 || len(d.Nonce) > 512 || len(d.PublicKey) > 1024 || d.PublicKey != nil && len(d.PublicKey) == 0 {
		t.Errorf("got %d bytes of user data, %d of nonce, %d of public key", len(d.UserData), len(d.Nonce), len(d.PublicKey))
	}
}
