package gateway

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// rejection is an answer to a request that does not become a session.
type rejection struct {
	label   string // in metrics
	status  int
	message string
	header  [2]string // name and value, if any
	retry   int       // seconds, 0: no Retry-After
}

// Rejections, in the order they are looked for.
var (
	rejectMethod  = &rejection{label: "method", status: http.StatusMethodNotAllowed, message: "a WebSocket handshake is a GET", header: [2]string{"Allow", http.MethodGet}}
	rejectHTTP    = &rejection{label: "http_version", status: http.StatusBadRequest, message: "a WebSocket handshake needs HTTP/1.1"}
	rejectBody    = &rejection{label: "body", status: http.StatusBadRequest, message: "a WebSocket handshake has no body"}
	rejectHost    = &rejection{label: "host", status: http.StatusBadRequest, message: "Host is missing"}
	rejectUpgrade = &rejection{label: "not_websocket", status: http.StatusUpgradeRequired, message: "this is a WebSocket endpoint"}
	rejectVersion = &rejection{label: "version", status: http.StatusUpgradeRequired, message: "Sec-WebSocket-Version must be 13"}
	rejectKey     = &rejection{label: "key", status: http.StatusBadRequest, message: "Sec-WebSocket-Key must be one value of 16 bytes in base64"}
	// 421 says what is wrong: this server does not answer for that host. A client may try another
	// connection, which comes to the same end.
	rejectOther  = &rejection{label: "host_not_allowed", status: http.StatusMisdirectedRequest, message: "this host is not served here"}
	rejectOrigin = &rejection{label: "origin", status: http.StatusForbidden, message: "this origin may not connect"}
	rejectStart  = &rejection{label: "starting", status: http.StatusServiceUnavailable, message: "starting", retry: 1}
	rejectDrain  = &rejection{label: "draining", status: http.StatusServiceUnavailable, message: "draining", retry: 5}
	rejectFull   = &rejection{label: "capacity", status: http.StatusServiceUnavailable, message: "at capacity", retry: 30}
	rejectHijack = &rejection{label: "internal", status: http.StatusInternalServerError, message: "connection cannot be upgraded"}
)

var rejections = []*rejection{
	rejectMethod, rejectHTTP, rejectBody, rejectHost, rejectUpgrade, rejectVersion, rejectKey, rejectOther, rejectOrigin,
	rejectStart, rejectDrain, rejectFull, rejectHijack,
}

// checkHandshake is RFC 6455 section 4.2.1, the host and the origin: it returns why r
// must not become a session, or nil. It knows no connection.
func checkHandshake(r *http.Request, hosts []hostName, origins []string) *rejection {
	switch {
	case r.Method != http.MethodGet:
		return rejectMethod
	case !r.ProtoAtLeast(1, 1) || r.ProtoMajor != 1:
		return rejectHTTP
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return rejectBody
	case r.Host == "":
		return rejectHost
	case !hasToken(r.Header["Upgrade"], "websocket") || !hasToken(r.Header["Connection"], "upgrade"):
		return rejectUpgrade
	case !slices.Equal(r.Header["Sec-Websocket-Version"], []string{"13"}):
		return rejectVersion
	case !validKey(r.Header["Sec-Websocket-Key"]):
		return rejectKey
	case !hostAllowed(r.Host, hosts):
		return rejectOther
	case !originAllowed(r.Header["Origin"], r.Host, origins):
		return rejectOrigin
	}
	return nil
}

// hasToken reports whether a comma-separated header has token, in any case.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

func validKey(values []string) bool {
	if len(values) != 1 {
		return false
	}
	key, err := base64.StdEncoding.Strict().DecodeString(values[0])
	return err == nil && len(key) == 16
}

// upgrade is the handler behind ServeHTTP and Echo.
func (g *Gateway) upgrade(w http.ResponseWriter, r *http.Request, echo bool) {
	if no := checkHandshake(r, g.hosts, g.cfg.AllowOrigins); no != nil {
		g.reject(w, r, no)
		return
	}
	if no := g.admit(); no != nil {
		g.reject(w, r, no)
		return
	}
	opened := false
	err := g.transport.Upgrade(w, bareHandshake(r), func(c wsconn.Conn) wsconn.Handler {
		opened = true // from here on Session.Closed gives the place back
		return inbound{g.newSession(c, echo)}
	})
	if opened {
		return // whatever failed, the session tells
	}
	g.hub.release()
	if err != nil {
		g.log.Debug().Err(err).Msg("Upgrade failed")
		g.reject(w, r, rejectHijack)
	}
}

// admit reserves a place, or says why there is none.
func (g *Gateway) admit() *rejection {
	switch {
	case g.draining.Load():
		return rejectDrain
	case !g.started.Load():
		return rejectStart
	case !g.hub.reserve():
		return rejectFull
	}
	// Looked at again with the place taken, which the drain waits for.
	if g.draining.Load() {
		g.hub.release()
		return rejectDrain
	}
	return nil
}

// bareHandshake is r with what the protocol needs in the one spelling gws
// understands: it reads only the first of repeated headers, and of the others none.
// The offers of extensions are the transport's to judge.
func bareHandshake(r *http.Request) *http.Request {
	r.Header["Connection"] = spelt.connection
	r.Header["Upgrade"] = spelt.upgrade
	r.Header["Sec-Websocket-Version"] = spelt.version
	return r
}

var spelt = struct{ connection, upgrade, version []string }{[]string{"Upgrade"}, []string{"websocket"}, []string{"13"}}

func (g *Gateway) reject(w http.ResponseWriter, r *http.Request, no *rejection) {
	g.metrics.rejected[no].Inc()
	g.logRejected(r, no)
	h := w.Header()
	h.Set("Connection", "close") // whoever is refused has nothing more to ask
	if no.status == http.StatusUpgradeRequired {
		h.Add("Connection", "Upgrade") // RFC 9110 section 7.8
		h.Set("Upgrade", "websocket")
		h.Set("Sec-WebSocket-Version", "13") // RFC 6455 section 4.4
	}
	if no.header[0] != "" {
		h.Set(no.header[0], no.header[1])
	}
	if no.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(no.retry))
	}
	http.Error(w, no.message, no.status)
}
