// Package errorbody gives what Traefik itself answers the error body that crm has. What the service answers passes untouched:
// it is JSON, or no error.
package errorbody

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Config of the middleware.
type Config struct {
	// Status is answered in any case, if it is set.
	Status int `json:"status,omitempty"`
}

// CreateConfig makes the configuration that holds where nothing is said.
func CreateConfig() *Config {
	return &Config{}
}

type middleware struct {
	next   http.Handler
	status int
}

// New makes the middleware.
func New(_ context.Context, next http.Handler, config *Config, _ string) (http.Handler, error) {
	return &middleware{next: next, status: config.Status}, nil
}

type errorBody struct {
	Code      string  `json:"code"`
	Message   string  `json:"message"`
	Details   *string `json:"details"`
	RequestID string  `json:"requestId"`
	Resource  *string `json:"resource"`
}

func bodyOf(status int) (int, errorBody) {
	switch {
	case status == http.StatusNotFound:
		return status, errorBody{Code: "NOT_FOUND", Message: "There is no such resource."}
	case status == http.StatusRequestEntityTooLarge:
		return status, errorBody{Code: "PAYLOAD_TOO_LARGE", Message: "The request body is too large."}
	case status < 500:
		return http.StatusBadRequest, errorBody{Code: "BAD_REQUEST", Message: "The request is not valid."}
	default:
		message := "The service cannot answer right now; try again later."
		return http.StatusServiceUnavailable, errorBody{Code: "SERVICE_UNAVAILABLE", Message: message}
	}
}

func requestID(request *http.Request) string {
	if own := request.Header.Get("X-Request-ID"); own != "" && len(own) <= 128 {
		return own
	}
	made := make([]byte, 16)
	_, _ = rand.Read(made)
	return hex.EncodeToString(made)
}

func answer(writer http.ResponseWriter, request *http.Request, status int, began time.Time) {
	status, body := bodyOf(status)
	body.RequestID = requestID(request)
	text, _ := json.Marshal(body)
	header := writer.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	header.Set("X-Request-ID", body.RequestID)
	header.Set("X-Response-Time", strconv.FormatFloat(float64(time.Since(began).Microseconds())/1000, 'f', -1, 64))
	if status == http.StatusServiceUnavailable {
		header.Set("Retry-After", "1")
	}
	writer.WriteHeader(status)
	_, _ = writer.Write(text)
}

func (m *middleware) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	began := time.Now()
	if m.status != 0 {
		answer(writer, request, m.status, began)
		return
	}
	m.next.ServeHTTP(&watched{ResponseWriter: writer, request: request, began: began}, request)
}

// watched replaces a reply that is Traefik's own error.
type watched struct {
	http.ResponseWriter
	request  *http.Request
	began    time.Time
	decided  bool
	replaced bool
}

func (w *watched) WriteHeader(status int) {
	if w.decided {
		return
	}
	if status < 200 {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.decided = true
	// Every error of the service is JSON and has a response time.
	own := strings.HasPrefix(w.Header().Get("Content-Type"), "application/json")
	if status >= 400 && !own {
		w.replaced = true
		answer(w.ResponseWriter, w.request, status, w.began)
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(text []byte) (int, error) {
	if !w.decided {
		w.WriteHeader(http.StatusOK)
	}
	if w.replaced {
		return len(text), nil
	}
	return w.ResponseWriter.Write(text)
}

func (w *watched) Flush() {
	if flusher, ok := w.ResponseWriter.(http.Flusher); ok && !w.replaced {
		flusher.Flush()
	}
}
