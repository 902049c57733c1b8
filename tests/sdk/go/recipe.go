package main

// Changes that are safe to repeat, with the client that openapi-generator makes. To be copied.

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	crm "github.com/example/crm"
)

var pauses = []time.Duration{200 * time.Millisecond, time.Second, 5 * time.Second}

// newRequestID makes an id for one change.
func newRequestID() string {
	bytes := make([]byte, 16)
	if _, err := rand.Read(bytes); err != nil {
		panic(err)
	}
	return hex.EncodeToString(bytes)
}

// errorOf returns the error as the service described it; nil where the reply was lost or came from something on the way.
func errorOf(err error) *crm.ErrorBody {
	var refused *crm.GenericOpenAPIError
	if errors.As(err, &refused) {
		if body, ok := refused.Model().(crm.ErrorBody); ok {
			return &body
		}
	}
	return nil
}

// sendOnce makes one change: its request id is set here, and stays the same over all attempts. read gets the resource where an
// earlier attempt made the change and only its reply was lost (409).
func sendOnce[T any](
	send func(requestID string) (*T, *http.Response, error),
	read func(id string) (*T, *http.Response, error),
) (*T, error) {
	requestID := newRequestID()
	for attempt := 0; ; attempt++ {
		sent, response, err := send(requestID)
		if err == nil {
			return sent, nil
		}
		if described := errorOf(err); described != nil && response.StatusCode == http.StatusConflict {
			if resource := described.Resource.Get(); resource != nil {
				done, _, err := read(resource.Id)
				return done, err
			}
		}
		// Without a response there was no reply, or half of one.
		again := response == nil || response.StatusCode < 300 || response.StatusCode == http.StatusServiceUnavailable
		if !again || attempt == len(pauses) {
			return nil, err
		}
		time.Sleep(pauses[attempt])
	}
}

// changeUnchanged changes what was read only if nobody else has changed it since; else it reads it again (412). change gets the
// resource and its entity tag for If-Match, and looks whether the change is still wanted.
func changeUnchanged[T any](
	read func() (*T, *http.Response, error),
	change func(current *T, tag string) (*T, *http.Response, error),
) (*T, error) {
	for attempt := 0; ; attempt++ {
		current, response, err := read()
		if err != nil {
			return nil, err
		}
		changed, response, err := change(current, response.Header.Get("ETag"))
		stale := err != nil && response != nil && response.StatusCode == http.StatusPreconditionFailed
		if !stale || attempt == len(pauses) {
			return changed, err
		}
	}
}
