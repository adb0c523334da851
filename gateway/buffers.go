package gateway

import "sync"

// bufferSize is what io.Copy uses.
const bufferSize = 32 << 10

// buffers lends copy buffers. A pointer to an array goes into
// the pool without an allocation, where a slice would need one.
type buffers struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if a, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return a[:]
	}
	return make([]byte, bufferSize)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(s []byte) {
	if len(s) == bufferSize {
		b.pool.Put((*[bufferSize]byte)(s))
	}
}
