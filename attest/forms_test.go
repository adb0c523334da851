package attest

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"testing"
	"time"
)

func TestFreshClaimsForm(t *testing.T) {
	c := FreshClaims{
		Issuer: "https://b.example", RulesDigest: [32]byte{1}, Time: time.Unix(1000, 999),
		Keys: [][32]byte{{2}, {1}, {2}}, Nonces: [][]byte{[]byte("a nonce of somebody"), []byte("another one, of others")},
	}
	got := must(c.marshal())
	// Written out by hand: shorter names first, sets in ascending order.
	first, second := sha256.Sum256(c.Nonces[0]), sha256.Sum256(c.Nonces[1])
	if bytes.Compare(first[:], second[:]) > 0 {
		first, second = second, first
	}
	embedded := bytes.Join([][]byte{
		{0xa5},
		{0x64}, []byte("keys"), {0x82, 0x58, 32, 1}, make([]byte, 31), {0x58, 32, 2}, make([]byte, 31),
		{0x64}, []byte("time"), {0x19, 0x03, 0xe8},
		{0x65}, []byte("rules"), {0x82, 0x01, 0x58, 32, 1}, make([]byte, 31),
		{0x66}, []byte("issuer"), {0x71}, []byte("https://b.example"),
		{0x66}, []byte("nonces"), {0x82, 0x58, 32}, first[:], {0x58, 32}, second[:],
	}, nil)
	want := bytes.Join([][]byte{{0xa1, 0x69}, []byte("ctb-fresh"), {0x58, byte(len(embedded))}, embedded}, nil)
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

// One fault each: nothing but what a broker writes is read.
func TestParseFreshClaimsRefuses(t *testing.T) {
	good := func() *freshClaim {
		return &freshClaim{Issuer: "https://b.example", Time: 1, Keys: [][]byte{make([]byte, 32)}, Nonces: [][]byte{make([]byte, 32)}}
	}
	wrap := func(embedded []byte) []byte { return must(detEnc.Marshal(map[string][]byte{claimFresh: embedded})) }
	of := func(change func(*freshClaim)) []byte {
		c := good()
		change(c)
		return wrap(must(detEnc.Marshal(c)))
	}
	as := func(change func(map[string]any)) []byte {
		m := map[string]any{"issuer": "https://b.example", "time": 1, "keys": good().Keys, "nonces": good().Nonces}
		change(m)
		return wrap(must(detEnc.Marshal(m)))
	}
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"empty":                  {nil, "claims: EOF"},
		"no map":                 {[]byte{0x80}, "claims: cbor"},
		"an empty map":           {[]byte{0xa0}, "got 0 entries"},
		"another entry":          {must(detEnc.Marshal(map[string][]byte{"ctb-binding": {}})), "got 1 entries"},
		"an entry beside it":     {must(detEnc.Marshal(map[string][]byte{claimFresh: {}, "nonce": {}})), "got 2 entries"},
		"a number as name":       {must(detEnc.Marshal(map[int][]byte{1: {}})), "claims: cbor"},
		"of indefinite length":   {append([]byte{0xbf}, 0xff), "indefinite-length"},
		"bytes behind it":        {append(of(func(*freshClaim) {}), 0), "extraneous data"},
		"not wrapped":            {must(detEnc.Marshal(map[string]any{claimFresh: good()})), "not a byte string"},
		"nothing in it":          {wrap(nil), "claims"},
		"bytes behind the inner": {wrap(append(must(detEnc.Marshal(good())), 0)), "extraneous data"},
		"larger than claims":     {make([]byte, maxClaims+1), "want at most 16384"},
		"no issuer":              {as(func(m map[string]any) { delete(m, "issuer") }), `got issuer ""`},
		"issuer of no host":      {of(func(c *freshClaim) { c.Issuer = "broker" }), "want a URL"},
		"a further member":       {as(func(m map[string]any) { m["use"] = "sig" }), "members that are not known"},
		"null rules":             {as(func(m map[string]any) { m["rules"] = nil }), "not in deterministic form"},
		"SHA-512 rules":          {of(func(c *freshClaim) { c.Rules = &hashEntry{Algorithm: hashSHA512, Digest: make([]byte, 64)} }), "no SHA-256"},
		"short rules":            {of(func(c *freshClaim) { c.Rules = &hashEntry{Algorithm: hashSHA256, Digest: make([]byte, 31)} }), "no SHA-256"},
		"a time before 1970":     {of(func(c *freshClaim) { c.Time = -1 }), "want seconds since 1970"},
		"a time after all":       {of(func(c *freshClaim) { c.Time = 1 << 60 }), "want seconds since 1970"},
		"time as a fraction":     {as(func(m map[string]any) { m["time"] = 1.5 }), "cbor"},
		"no keys":                {of(func(c *freshClaim) { c.Keys = [][]byte{} }), "keys: got 0"},
		"null keys":              {of(func(c *freshClaim) { c.Keys = nil }), "keys: got 0"},
		"a short key":            {of(func(c *freshClaim) { c.Keys[0] = make([]byte, 31) }), "keys: got a digest of 31 bytes"},
		"a key as text":          {as(func(m map[string]any) { m["keys"] = []string{"k"} }), "cbor"},
		"a key twice":            {of(func(c *freshClaim) { c.Keys = append(c.Keys, c.Keys[0]) }), "keys: not in ascending order"},
		"101 keys":               {of(func(c *freshClaim) { c.Keys = ascending(101) }), "100"},
		"no nonces":              {of(func(c *freshClaim) { c.Nonces = nil }), "nonces: got 0"},
		"a bare nonce":           {of(func(c *freshClaim) { c.Nonces[0] = make([]byte, 16) }), "nonces: got a digest of 16 bytes"},
		"65 nonces":              {of(func(c *freshClaim) { c.Nonces = ascending(65) }), "nonces: got 65"},
		"nonces in another order": {of(func(c *freshClaim) {
			n := ascending(2)
			c.Nonces = [][]byte{n[1], n[0]}
		}), "nonces: not in ascending order"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parseFreshClaims(test.data)
			if err == nil || !bytes.Contains([]byte(err.Error()), []byte(test.want)) {
				t.Errorf("got %+v and the error %v, want one that says %q", c, err, test.want)
			}
		})
	}
	if _, err := parseFreshClaims(of(func(c *freshClaim) { c.Keys, c.Nonces = ascending(100), ascending(64) })); err != nil {
		t.Error(err)
	}
}

// ascending are n digests in their order.
func ascending(n int) (hashes [][]byte) {
	for i := range n {
		hashes = append(hashes, append([]byte{byte(i)}, make([]byte, 31)...))
	}
	return hashes
}

// FuzzFreshClaims holds that fresh claims have one encoding, and are never a certificate's.
func FuzzFreshClaims(f *testing.F) {
	c := FreshClaims{Issuer: "https://b.example", Time: time.Unix(1000, 0), Keys: [][32]byte{{1}}, Nonces: [][]byte{make([]byte, 16)}}
	f.Add(must(c.marshal()))
	c.RulesDigest, c.Keys, c.Nonces = [32]byte{9}, append(c.Keys, [32]byte{2}), append(c.Nonces, make([]byte, 64))
	full := must(c.marshal())
	b := Binding{Use: UseTLS, Issuer: "https://b.example", Issued: time.Unix(1000, 0), Expires: time.Unix(2000, 0), Nonce: []byte("n")}
	for _, seed := range [][]byte{full, full[:len(full)-1], must(claimsOf(b, nil).marshal()), {}, {0xa0}, {0xa1, 0x40, 0x40}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseFreshClaims(data)
		if err != nil {
			return
		}
		if again, err := c.marshal(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x becomes %x: %v", data, again, err)
		}
		if _, err := parseClaims(data); err == nil {
			t.Fatalf("%x are claims of a certificate, too", data)
		}
		_ = c.answers(make([]byte, 16), time.Unix(1000, 0))
		_ = c.covers([]AttestedKey{{Certificates: [][]byte{data}}, {}})
	})
}

// FuzzWrapper holds that the wrapper of evidence has one encoding.
func FuzzWrapper(f *testing.F) {
	for _, c := range []cmwContent{
		{Platform: "snp", Quote: make([]byte, 1184), Claims: []byte{0xa0}},
		{Platform: "nitro", Quote: []byte{0x84}, Claims: []byte{}},
	} {
		f.Add(must(c.marshal()))
	}
	for _, seed := range [][]byte{{}, {4, 0}, {4, 1, 0x80}, {0x24, 0}, {12, 2, '[', ']'}, must(asn1.Marshal([]byte{0x83, 0x60, 0x40, 4}))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		c, err := parseCMW(value)
		if err != nil {
			return
		}
		if again, err := c.marshal(); err != nil || !bytes.Equal(again, value) {
			t.Fatalf("%x becomes %x: %v", value, again, err)
		}
	})
}
