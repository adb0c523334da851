package watch

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"time"
)

// maxHashed bounds what Look reads; of a larger file the time of change counts as well.
const maxHashed = 16 << 20

// Content tells one content of a file from another. The zero Content is that of a
// file that is absent or unreadable.
type Content struct {
	readable bool
	size     int64
	sum      [sha256.Size]byte // of the first maxHashed bytes
	changed  time.Time         // of larger files only
}

// Look reads what is in the file at path now.
func Look(path string) Content {
	f, size, err := open(path)
	if err != nil {
		return Content{}
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, maxHashed))
	if err != nil {
		return Content{}
	}
	c := Content{readable: true, size: n}
	h.Sum(c.sum[:0])
	if n == maxHashed {
		c.size = size
		if info, err := f.Stat(); err == nil {
			c.changed = info.ModTime().Round(0).UTC()
		}
	}
	return c
}

// open opens a regular file alone: to open a pipe would wait for somebody who writes.
func open(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.Open(path)
	return f, info.Size(), err
}
