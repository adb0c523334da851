package demo

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

const seedSize = 32

// loadSeed reads the seed of the development root, and makes it if the file is absent.
// Whoever has the seed can make evidence under that root, so only its owner may read it.
func loadSeed(path string) ([]byte, error) {
	if path == "" {
		seed := make([]byte, seedSize)
		rand.Read(seed) // never fails
		return seed, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newSeed(path)
	}
	if err != nil {
		return nil, &FlagError{"seed", err, "name a file that is not there, in a folder that is"}
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(seed) != seedSize {
		return nil, &FlagError{"seed", fmt.Errorf("%s: got something else than %d hex digits", path, 2*seedSize), "name a file that is not there, and it is made"}
	}
	return seed, nil
}

func newSeed(path string) ([]byte, error) {
	seed := make([]byte, seedSize)
	rand.Read(seed)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, &FlagError{"seed", err, "name a file that is not there, in a folder that is"}
	}
	if _, err := fmt.Fprintln(f, hex.EncodeToString(seed)); err != nil {
		f.Close()
		return nil, &FlagError{"seed", err, "name a file that is not there, in a folder that is"}
	}
	return seed, f.Close()
}
