package broker

import "context"

// State keeps what must outlive the process: for each signing key a record of its public half,
// which is attested and vouches for itself. Nothing in it is secret, and nothing in it is believed by anybody for being
// there: a checker judges the evidence. It belongs to one broker at a time.
//
// A record is at most [MaxRecord] bytes, its name a key's id: of letters, digits, "-" and "_". A State that
// is an [io.Closer] too is closed when [Broker.Run] ends.
type State interface {
	// Load returns all records by their names. An error beside records tells what is there
	// and could not be read, and was left as it is; with a nil map, nothing can be read now.
	Load(ctx context.Context) (map[string][]byte, error)
	// Keep writes a record, in the place of one of this name. When it returns nil, the record
	// outlasts a crash and a loss of power.
	Keep(ctx context.Context, name string, record []byte) error
	// Forget removes a record. One that is not there is no error.
	Forget(ctx context.Context, name string) error
}

// MaxRecord bounds a record of a [State], in bytes.
const MaxRecord = 256 << 10
