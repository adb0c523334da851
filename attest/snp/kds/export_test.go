package kds

import (
	"context"
	"crypto/x509"
	"time"
)

// SetClock gives a client another clock, and has it wait by that.
func (c *Client) SetClock(now func() time.Time, wait func(context.Context, time.Duration) error) {
	c.now, c.wait = now, wait
}

// SetRandom takes chance out of a cache.
func (c *Cache) SetRandom(f func() float64) { c.larder.Random = f }

// FileName is that of a platform's file.
func FileName(p Platform) string { return new(kind).Name(p) }

// The steps of Collateral.Verify, so that a test can take one of them many times.
func (ch *Chain) AddCA(der []byte) error   { c := *ch; return c.addCA(der) }
func (ch *Chain) AddLeaf(der []byte) error { c := *ch; return c.addLeaf(der) }

// ReadCRL is the step that reads the revocation list.
func ReadCRL(der []byte, root *x509.Certificate) error { _, err := readCRL(der, root); return err }

// SetNoWait has a client not wait at all.
func (c *Client) SetNoWait() { c.wait = func(context.Context, time.Duration) error { return nil } }
