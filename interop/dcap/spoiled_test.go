package dcap_test

import (
	"bytes"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// The names of evidence that was spoiled after it was signed. There is much of each, and a row in the table needs hold for one.
const (
	flippedBit  = "one bit flipped"
	flippedRoot = "one bit flipped in the quote's copy of the root"
	cutShort    = "cut short"
)

// TestQuoteSpoiled spoils the soundest quote of each format all over; nobody accepts any of the results, or it is explained.
func TestQuoteSpoiled(t *testing.T) {
	var all []evidence
	for _, sound := range soundest(t) {
		all = append(all, spoiledQuotes(sound)...)
	}
	compare(t, all)
}

// TestGenuineQuoteSpoiled spoils those genuine quotes whose status nobody
// refuses: oasis-core judges the status before it checks the quote's signature.
func TestGenuineQuoteSpoiled(t *testing.T) {
	var all []evidence
	for _, e := range acceptable(t) {
		all = append(all, spoiledQuotes(e)...)
	}
	compare(t, all)
}

// TestGenuineCollateralSpoiled spoils each part of the collateral of the same.
func TestGenuineCollateralSpoiled(t *testing.T) {
	var all []evidence
	for _, e := range acceptable(t) {
		all = append(all, spoiledCollateral(e)...)
	}
	compare(t, all)
}

// soundest is the first genuine variant of each format.
func soundest(t *testing.T) []evidence {
	t.Helper()
	seen := map[string]bool{}
	var all []evidence
	for _, e := range variants(t) {
		if e.genuine && !seen[e.format] {
			seen[e.format] = true
			all = append(all, e)
		}
	}
	return all
}

// acceptable are the genuine quotes that every policy accepts, without padding.
func acceptable(t *testing.T) []evidence {
	t.Helper()
	var all []evidence
	for _, e := range vectors(t) {
		if (e.want.Status == tee.UpToDate || e.want.Status == tee.SWHardeningNeeded) && e.name != paddedVector {
			all = append(all, e)
		}
	}
	return all
}

// spoiledQuotes are copies of a quote with one bit flipped in every 41st byte, up to the padding after its
// certificates, in which nothing is said, and some that end too soon. One that says another format still counts as of its own.
func spoiledQuotes(sound evidence) []evidence {
	rootAt := bytes.LastIndex(sound.quote, []byte("-----BEGIN CERTIFICATE-----"))
	end := bytes.LastIndex(sound.quote, []byte("-----END CERTIFICATE-----")) + len("-----END CERTIFICATE-----")
	var all []evidence
	spoil := func(name string, quote []byte) {
		e := sound
		e.name, e.quote, e.genuine, e.sample = name, quote, false, true
		all = append(all, e)
	}
	for at := 0; at < end; at += 41 {
		name := flippedBit
		if at >= rootAt {
			name = flippedRoot
		}
		spoil(name, flip(sound.quote, at))
	}
	for length := 0; length < end; length += 211 {
		spoil(cutShort, sound.quote[:length:length])
	}
	return all
}

// collateralParts are the parts of collateral that quotes are judged by, by the names of evidence that has them spoiled.
var collateralParts = []struct {
	name string
	of   func(c *dcap.Collateral) (*string, *[]byte) // one of the two
}{
	{"TCB info", func(c *dcap.Collateral) (*string, *[]byte) { return &c.TCBInfo, nil }},
	{"TCB info signature", func(c *dcap.Collateral) (*string, *[]byte) { return nil, &c.TCBInfoSignature }},
	{"TCB info issuer chain", func(c *dcap.Collateral) (*string, *[]byte) { return &c.TCBInfoIssuerChain, nil }},
	{"QE identity", func(c *dcap.Collateral) (*string, *[]byte) { return &c.QEIdentity, nil }},
	{"QE identity signature", func(c *dcap.Collateral) (*string, *[]byte) { return nil, &c.QEIdentitySignature }},
	{"QE identity issuer chain", func(c *dcap.Collateral) (*string, *[]byte) { return &c.QEIdentityIssuerChain, nil }},
	{"PCK CRL", func(c *dcap.Collateral) (*string, *[]byte) { return nil, &c.PCKCRL }},
	{"PCK CRL issuer chain", func(c *dcap.Collateral) (*string, *[]byte) { return &c.PCKCRLIssuerChain, nil }},
	{"root CRL", func(c *dcap.Collateral) (*string, *[]byte) { return nil, &c.RootCACRL }},
}

// spoiledCollateral are copies of evidence with one bit flipped in every 97th byte of each part of its
// collateral, and of a PEM chain but for the last lines, where there may be nothing but a line's end.
func spoiledCollateral(sound evidence) []evidence {
	var all []evidence
	for _, part := range collateralParts {
		text, raw := part.of(sound.collateral)
		size := 0
		if text != nil {
			size = len(bytes.TrimRight([]byte(*text), "\x00\r\n"))
		} else {
			size = len(*raw)
		}
		for at := 0; at < size; at += 97 {
			c := *sound.collateral
			if text, raw := part.of(&c); text != nil {
				*text = string(flip([]byte(*text), at))
			} else {
				*raw = flip(*raw, at)
			}
			e := sound
			e.name, e.collateral, e.genuine, e.sample = flippedIn(part.name), &c, false, true
			all = append(all, e)
		}
	}
	return all
}

func flippedIn(part string) string { return flippedBit + " in the " + part }

// flip returns a copy with one bit flipped.
func flip(data []byte, at int) []byte {
	spoiled := bytes.Clone(data)
	spoiled[at] ^= 1 << (at % 8)
	return spoiled
}
