package ctb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/confidential-token-broker/ctb/internal/refetch"
	"github.com/go-json-experiment/json"
)

// RemoteKeys is the key set of an issuer, fetched when a key is first asked for.
//
// A key that is known is found without waiting. An unknown one causes at most
// one fetch in 30 s, however many ask; while the source is down, fetches back
// off from 1 s to 30 s, and the last good keys are used for up to 24 h. Keys
// are refreshed in the background at the age that the source allows (1 min to
// 1 h; 10 min if it says nothing). URLs must be https, or http on a loopback address.
type RemoteKeys struct {
	URL    string           // of the JWK set; empty: the "jwks_uri" of Issuer's configuration
	Issuer string           // an OpenID provider; used where URL is empty
	Client *http.Client     // nil trusts the system's CA roots and bounds each request by 10 s
	Now    func() time.Time // the clock; nil means time.Now

	once   sync.Once
	client *http.Client
	cache  *refetch.Cache[remoteSet]
}

// remoteSet is a key set as it was published: its usable keys, or why there is none.
type remoteSet struct {
	keys  StaticKeys
	empty error
}

func (s remoteSet) key(ctx context.Context, kid string) (Key, error) {
	if s.empty != nil {
		return Key{}, s.empty
	}
	return s.keys.Key(ctx, kid)
}

// NewRemoteKeys returns the keys of the JWK set at url.
func NewRemoteKeys(url string, c *http.Client) *RemoteKeys { return &RemoteKeys{URL: url, Client: c} }

// DiscoverKeys returns the keys of an OpenID provider (OpenID Connect
// Discovery 1.0 section 4). Its configuration must name the issuer exactly.
func DiscoverKeys(issuer string, c *http.Client) *RemoteKeys {
	return &RemoteKeys{Issuer: issuer, Client: c}
}

// Key implements KeySet.
func (r *RemoteKeys) Key(ctx context.Context, kid string) (Key, error) {
	r.once.Do(r.init)
	if set, ok := r.cache.Current(); ok {
		if key, err := set.key(ctx, kid); err == nil {
			return key, nil
		}
	}
	set, ok, fetchErr := r.cache.Newer(ctx)
	err := fetchErr
	if ok {
		key, keyErr := set.key(ctx, kid)
		if keyErr == nil || keyErr == ErrUnknownKey && fetchErr == nil {
			return key, keyErr
		}
		// While the source can't be asked, whether the key exists can't be told.
		err = cmp.Or(fetchErr, keyErr)
	}
	return Key{}, fmt.Errorf("keys of %s can't be had: %w", r.source(), err)
}

// Refresh fetches the keys if there are none, if they have reached the age that
// the source allows, or oldest if that is not 0, or if something is wrong with
// them; within the discipline, like everything that fetches. Called now and
// then, it makes a withdrawn key forgotten also while nobody asks. It returns [RemoteKeys.Err].
func (r *RemoteKeys) Refresh(ctx context.Context, oldest time.Duration) error {
	r.once.Do(r.init)
	if r.Err() != nil {
		_, _, _ = r.cache.Newer(ctx)
	} else {
		r.cache.Refresh(ctx, oldest)
	}
	return r.Err()
}

// Err tells what is wrong with the source: the newest fetch failed, or it has
// no usable key. It is nil while all is well, and as long as it was not asked.
func (r *RemoteKeys) Err() error {
	r.once.Do(r.init)
	if err := r.cache.Err(); err != nil {
		return err
	}
	set, _ := r.cache.Current()
	return set.empty
}

func (r *RemoteKeys) init() {
	if r.client = r.Client; r.client == nil {
		r.client = fetch.Client(nil)
	}
	r.cache = refetch.New(r.fetch, r.Now)
}

func (r *RemoteKeys) source() string {
	if r.URL != "" {
		return fetch.Redact(r.URL)
	}
	return fetch.Redact(r.Issuer)
}

func (r *RemoteKeys) fetch(ctx context.Context) (remoteSet, time.Duration, error) {
	target := r.URL
	if target == "" {
		var err error
		if target, err = discover(ctx, r.client, r.Issuer); err != nil {
			return remoteSet{}, 0, err
		}
	}
	if err := checkKeyURL(target); err != nil {
		return remoteSet{}, 0, err
	}
	doc, err := fetch.JSON(ctx, r.client, target, jose.MaxSetSize)
	if err != nil {
		return remoteSet{}, 0, err
	}
	list, err := jose.ParseSet(doc.Body)
	if err != nil {
		return remoteSet{}, 0, fmt.Errorf("GET %s: %w", fetch.Redact(target), err)
	}
	// A set without a usable key is an answer: its issuer has withdrawn them all.
	keys, err := usable(list)
	return remoteSet{keys, err}, doc.MaxAge, nil
}

// discover returns the jwks_uri of an issuer.
func discover(ctx context.Context, c *http.Client, issuer string) (string, error) {
	if err := checkKeyURL(issuer); err != nil {
		return "", err
	}
	at := strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	doc, err := fetch.JSON(ctx, c, at, jose.MaxSetSize)
	if err != nil {
		return "", err
	}
	var config struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(doc.Body, &config); err != nil {
		return "", fmt.Errorf("GET %s: %w", at, jose.JSONError(err))
	}
	// A configuration that names another issuer would let one provider hand out the keys of another.
	if config.Issuer != issuer {
		return "", fmt.Errorf("GET %s: issuer is %.200q, want %q", at, config.Issuer, issuer)
	}
	if config.JWKS == "" {
		return "", fmt.Errorf("GET %s: jwks_uri is missing", at)
	}
	// Loopback is for development alone: an issuer on https has nothing to say about it.
	if strings.HasPrefix(issuer, "https://") && !strings.HasPrefix(config.JWKS, "https://") {
		return "", fmt.Errorf("GET %s: jwks_uri is no https URL, though the issuer is one", at)
	}
	return config.JWKS, nil
}

// checkKeyURL refuses URLs whose answer anybody on the way could change.
func checkKeyURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return errors.New("keys must come from a URL such as https://idp.example.com/, got none")
	}
	if fetch.Private(u) {
		return nil
	}
	return errors.New("keys must come over https, got " + u.Scheme + "://" + u.Host)
}
