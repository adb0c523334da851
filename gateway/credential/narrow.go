package credential

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// Narrow returns the keys of a set that are for one of the algorithms. A key of
// another one is unknown. A key set that is narrowed to nothing, or to what no key
// may be for, such as HS256, is refused.
func Narrow(keys ctb.KeySet, algorithms ...string) (ctb.KeySet, error) {
	if keys == nil || len(algorithms) == 0 {
		return nil, errors.New("algorithms: want a key set and one algorithm at least, or no key would be left")
	}
	for _, a := range algorithms {
		if !jose.Supported(a) {
			return nil, fmt.Errorf("algorithm is %.40q, want one of %s", a, strings.Join(jose.Algorithms(), ", "))
		}
	}
	return narrowed{keys, slices.Clone(algorithms)}, nil
}

type narrowed struct {
	keys       ctb.KeySet
	algorithms []string
}

// Key implements ctb.KeySet.
func (n narrowed) Key(ctx context.Context, kid string) (ctb.Key, error) {
	key, err := n.keys.Key(ctx, kid)
	if err == nil && !slices.Contains(n.algorithms, key.Algorithm) {
		return ctb.Key{}, fmt.Errorf("%w: it is for %s, and accepted are %s", ctb.ErrUnknownKey, key.Algorithm, strings.Join(n.algorithms, ", "))
	}
	return key, err
}
