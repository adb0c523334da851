package sigstruct_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/sigstruct"
)

// signer returns an RSA-3072 key with the exponent 3, as SGX wants it, and made only once.
var signer = sync.OnceValue(func() *rsa.PrivateKey {
	one, three := big.NewInt(1), big.NewInt(3)
	prime := func() *big.Int {
		for {
			p, err := rand.Prime(rand.Reader, 1536)
			if err != nil {
				panic(err)
			}
			if new(big.Int).Mod(p, three).Int64() == 2 { // so that 3 has an inverse
				return p
			}
		}
	}
	for {
		p, q := prime(), prime()
		n := new(big.Int).Mul(p, q)
		if n.BitLen() != 3072 || p.Cmp(q) == 0 {
			continue
		}
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 3}, D: new(big.Int).ModInverse(three, phi), Primes: []*big.Int{p, q}}
		key.Precompute()
		return key
	}
})

func little(n *big.Int) []byte {
	b := n.FillBytes(make([]byte, 384))
	slices.Reverse(b)
	return b
}

// made returns a SIGSTRUCT, changed before it is signed.
func made(t testing.TB, change func([]byte)) []byte {
	t.Helper()
	data := make([]byte, sigstruct.Size)
	copy(data, []byte{6, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 1})
	binary.LittleEndian.PutUint32(data[20:], 0x20261122)
	copy(data[24:], []byte{1, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1})
	copy(data[128:], little(signer().N))
	binary.LittleEndian.PutUint32(data[512:], 3)
	data[928], data[944] = 4, 0xff // 64 bits; every flag matters
	copy(data[960:], bytes.Repeat([]byte{0xab}, 32))
	binary.LittleEndian.PutUint16(data[1024:], 7)
	binary.LittleEndian.PutUint16(data[1026:], 3)
	if change != nil {
		change(data)
	}
	sum := sha256.Sum256(slices.Concat(data[:128], data[900:1028]))
	signature, err := rsa.SignPKCS1v15(nil, signer(), crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	copy(data[516:], little(new(big.Int).SetBytes(signature)))
	return data
}

func TestParse(t *testing.T) {
	s, err := sigstruct.Parse(made(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	want := sigstruct.Signature{
		MRENCLAVE: [32]byte(bytes.Repeat([]byte{0xab}, 32)), MRSIGNER: sha256.Sum256(little(signer().N)),
		ISVProdID: 7, ISVSVN: 3, Date: 0x20261122, Debug: sigstruct.NotSet,
	}
	if *s != want {
		t.Errorf("got %+v, want %+v", *s, want)
	}
}

func TestDebug(t *testing.T) {
	for _, c := range []struct {
		attributes, mask byte
		want             sigstruct.Demand
	}{
		{4, 0xff, sigstruct.NotSet},
		{6, 0xff, sigstruct.Set},
		{4, 0xfd, sigstruct.Any},
		{6, 0xfd, sigstruct.Any},
	} {
		s, err := sigstruct.Parse(made(t, func(d []byte) { d[928], d[944] = c.attributes, c.mask }))
		if err != nil || s.Debug != c.want {
			t.Errorf("attributes %#x, mask %#x: got %+v, %v, want %d", c.attributes, c.mask, s, err, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	good := made(t, nil)
	for what, c := range map[string]struct {
		data []byte
		says string
	}{
		"nothing":            {nil, "got 0 bytes, want 1808"},
		"a byte less":        {good[1:], "got 1807 bytes"},
		"a byte more":        {append(bytes.Clone(good), 0), "got 1809 bytes"},
		"no header":          {made(t, func(d []byte) { d[0] = 7 }), "two headers"},
		"no second header":   {made(t, func(d []byte) { d[25] = 0 }), "two headers"},
		"another exponent":   {made(t, func(d []byte) { d[512], d[513], d[514] = 1, 0, 1 }), "exponent 65537"},
		"a short key":        {made(t, func(d []byte) { d[511] = 0 }), "got a key of"},
		"another signature":  {flip(good, 600), "not signed by the key in it"},
		"another hash":       {flip(good, 960), "not signed by the key in it"},
		"another attribute":  {flip(good, 928), "not signed by the key in it"},
		"another product id": {flip(good, 1024), "not signed by the key in it"},
	} {
		if _, err := sigstruct.Parse(c.data); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want … %s", what, err, c.says)
		}
	}
}

func flip(data []byte, at int) []byte {
	data = bytes.Clone(data)
	data[at] ^= 1
	return data
}

// FuzzParse: nothing panics, only the right size is read, and no byte of what is read can be another one
// but those behind what is signed, which say nothing.
func FuzzParse(f *testing.F) {
	f.Add(made(f, nil), uint16(600))
	f.Add(made(f, nil), uint16(1028))
	f.Add([]byte("SIGSTRUCT"), uint16(0))
	f.Fuzz(func(t *testing.T, data []byte, at uint16) {
		s, err := sigstruct.Parse(data)
		if err != nil {
			return
		}
		if s == nil || len(data) != sigstruct.Size {
			t.Fatalf("%d bytes were read", len(data))
		}
		other := int(at) % sigstruct.Size
		again, err := sigstruct.Parse(flip(data, other))
		if signed := other < 1028; signed != (err != nil) || !signed && *again != *s {
			t.Errorf("with another byte %d: got %+v, %v, want it refused: %v", other, again, err, signed)
		}
	})
}
