package credential

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// Bounds of a whitelist.
const (
	MaxWhitelist = 16 << 20 // bytes of the file
	MaxKeys      = 100_000
	MaxKey       = 1 << 10 // bytes of a key
)

// ErrNoKeys is returned for a list that has a header and no key. It may be a
// file caught half written, or one whose last key was withdrawn: who reads it again after
// a moment knows, and may then use a new(Whitelist), which lets nobody in.
var ErrNoKeys = errors.New("the list has a header and no key")

// Whitelist is a list of API keys. The zero value has none. It is itself a [Source].
//
// It holds no key, only the SHA-256 of each, and finds a key in a map by its SHA-256. The time that
// takes may depend on the digests in the list. Who tried enough keys might so learn how a digest
// begins, and would be no nearer to its key: SHA-256 has to be inverted first.
type Whitelist struct {
	digests map[[sha256.Size]byte]*access.Identity
	ids     map[string]*access.Identity
}

// ParseWhitelist reads a whitelist: CSV (RFC 4180) in UTF-8, with a header that has "Name" and
// either "ApiKey" or "ApiKeySha256" (64 hex digits), and maybe "CreatedAt", in any order.
// The error has the line, and never a key.
//
// What may be a part of a larger file is refused: an empty file, a header alone ([ErrNoKeys]), a line
// of too few fields, a quote that is not closed, and a key or name that ends with the file instead of its
// line, since the beginning of one must not be taken for another. A file that
// was cut between two lines cannot be told from a whole one: who reads a list
// while it may be written waits until it has been still for a moment.
func ParseWhitelist(text []byte) (*Whitelist, error) {
	t, err := readTable(text)
	if err != nil {
		return nil, err
	}
	w := &Whitelist{
		digests: make(map[[sha256.Size]byte]*access.Identity, len(t.rows)),
		ids:     make(map[string]*access.Identity, len(t.rows)),
	}
	for _, r := range t.rows {
		who := &access.Identity{Mode: access.APIKey, ID: "key:" + hex.EncodeToString(r.digest[:16]), Name: r.name}
		w.digests[r.digest] = who
		w.ids[who.ID] = who
	}
	return w, nil
}

// HashWhitelist rewrites a whitelist so that it holds the SHA-256 of each key in place of the key. Who
// reads the file then learns no key that is long and random; short ones can be guessed. It
// accepts what [ParseWhitelist] does, and changes nothing in who is let in.
func HashWhitelist(text []byte) ([]byte, error) {
	t, err := readTable(text)
	if err != nil {
		return nil, err
	}
	line := []string{nameColumn, hashColumn, createdColumn}
	if !t.hasCreated {
		line = line[:2]
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	_ = w.Write(line) // a buffer takes everything
	for _, r := range t.rows {
		_ = w.Write([]string{r.name, hex.EncodeToString(r.digest[:]), r.created}[:len(line)])
	}
	w.Flush()
	if w.Error() != nil {
		return nil, fmt.Errorf("whitelist: %w", w.Error())
	}
	return out.Bytes(), nil
}

// Whitelist implements Source.
func (w *Whitelist) Whitelist() *Whitelist { return w }

// Len is the number of keys.
func (w *Whitelist) Len() int { return len(w.digests) }

// Names returns the names that keys have.
func (w *Whitelist) Names() map[string]bool {
	names := make(map[string]bool, len(w.digests))
	for _, who := range w.digests {
		names[who.Name] = true
	}
	return names
}

// find returns whose key it is, nil if it is nobody's. A nil list has no keys.
func (w *Whitelist) find(key string) *access.Identity {
	if w == nil || len(key) > MaxKey {
		return nil
	}
	var buf [MaxKey]byte // on the stack
	return w.digests[sha256.Sum256(append(buf[:0], key...))]
}

// identity returns whose key has the ID of an identity.
func (w *Whitelist) identity(id string) *access.Identity {
	if w == nil {
		return nil
	}
	return w.ids[id]
}
