// The common client exercise on gorilla/websocket: see tests/interop/README.md.
//
//	go-client URL ORIGIN
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

func check(ok bool, format string, arguments ...interface{}) {
	if !ok {
		fmt.Fprintf(os.Stderr, format+"\n", arguments...)
		os.Exit(1)
	}
}

func exchange(conn *websocket.Conn, kind int, message []byte) {
	err := conn.WriteMessage(kind, message)
	check(err == nil, "write: %v", err)
	gotKind, got, err := conn.ReadMessage()
	check(err == nil, "read: %v", err)
	check(gotKind == kind && bytes.Equal(got, message), "a message of %d bytes came back changed", len(message))
}

func main() {
	dialer := websocket.Dialer{
		Subprotocols:      []string{"v2.unknown", "chat"},
		EnableCompression: true,
		HandshakeTimeout:  10 * time.Second,
	}
	conn, answer, err := dialer.Dial(os.Args[1], http.Header{"Origin": {os.Args[2]}})
	if err != nil {
		status := 0
		if answer != nil {
			status = answer.StatusCode
		}
		fmt.Fprintf(os.Stderr, "handshake refused: %v, status %d\n", err, status)
		os.Exit(3)
	}
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))

	exchange(conn, websocket.TextMessage, []byte("hello"))
	exchange(conn, websocket.TextMessage, []byte(""))
	exchange(conn, websocket.TextMessage, []byte(strings.Repeat("compressible ", 80660)))
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	exchange(conn, websocket.BinaryMessage, every)
	random := make([]byte, 1<<20)
	rand.Read(random)
	exchange(conn, websocket.BinaryMessage, random)

	pong := ""
	conn.SetPongHandler(func(data string) error { pong = data; return nil })
	err = conn.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(time.Second))
	check(err == nil, "ping: %v", err)
	exchange(conn, websocket.TextMessage, []byte("after the ping"))
	check(pong == "are you there", "pong was %q", pong)

	err = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4001, "done"), time.Now().Add(time.Second))
	check(err == nil, "close: %v", err)
	_, _, err = conn.ReadMessage()
	closed, ok := err.(*websocket.CloseError)
	check(ok, "instead of a Close came: %v", err)
	json.NewEncoder(os.Stdout).Encode(map[string]interface{}{
		"subprotocol": conn.Subprotocol(),
		"extensions":  answer.Header.Get("Sec-WebSocket-Extensions"),
		"close_code":  closed.Code,
	})
}
