package evidence

import (
	"context"
	"fmt"
)

// kept is the collateral of one hardware maker's platforms P: what its service has, as the maker's own package keeps and verifies it,
// then what the file has. It is a [dcap.Source] or a [kds.Source].
type kept[P, C any] struct {
	cache  cache[P, C]     // nil: no service
	status func() []Entry  // of the cache
	file   *C              // nil: no file
	fits   func(p P) error // why the file does not serve in the place of the service
}

type cache[P, C any] interface {
	Collateral(ctx context.Context, p P) (*C, error)
	Err() error
}

// Collateral returns collateral of the platform. What comes from the service
// was verified and is about p; what comes from the file is as it is, for the verifier to judge.
func (k *kept[P, C]) Collateral(ctx context.Context, p P) (*C, error) {
	if k.cache == nil {
		return k.file, nil
	}
	got, err := k.cache.Collateral(ctx, p)
	if err == nil || k.file == nil {
		return got, err
	}
	if useless := k.fits(p); useless != nil { // so that the error has both reasons
		return nil, fmt.Errorf("%w; and %w", err, useless)
	}
	return k.file, nil
}

func (k *kept[P, C]) err() error {
	if k == nil || k.cache == nil {
		return nil
	}
	return k.cache.Err()
}

func (k *kept[P, C]) entries() []Entry {
	if k == nil || k.cache == nil {
		return nil
	}
	return k.status()
}
