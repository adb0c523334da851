package fetch

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// File reads a file of at most max bytes. Errors name the file.
func File(path string, max int64) ([]byte, error) {
	if path == "" {
		return nil, errors.New("no file is named")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("%s: got more than %d bytes, want a file of that size at most", path, max)
	}
	return data, nil
}
