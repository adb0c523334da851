package dcap

import (
	"encoding/binary"
	"fmt"
)

// cursor reads little-endian fields from the front of a byte slice. The first
// field that is cut short is kept as the error; whatever is read after it is zero.
type cursor struct {
	rest []byte
	read int // how much was taken so far
	err  error
}

// take returns the next n bytes, which still belong to the input.
func (c *cursor) take(n int) []byte {
	if c.err == nil && n > len(c.rest) {
		c.err = fmt.Errorf("cut short at offset %d: got %d bytes, want %d", c.read, len(c.rest), n)
	}
	if c.err != nil {
		return nil
	}
	field := c.rest[:n]
	c.rest, c.read = c.rest[n:], c.read+n
	return field
}

func (c *cursor) fill(field []byte) { copy(field, c.take(len(field))) }

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}
