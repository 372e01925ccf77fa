// Command talk has a conversation by the client that ogen makes.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/google/uuid"
	"github.com/ogen-go/ogen/ogenerrors"

	"lumos/backend/httpapi/interop/clients/ogen"
)

// noToken is for a hub that wants none.
type noToken struct{}

func (noToken) Bearer(context.Context, ogen.OperationName) (ogen.Bearer, error) {
	return ogen.Bearer{}, ogenerrors.ErrSkipClientSecurity
}

func main() {
	ctx := context.Background()
	hub, err := ogen.NewClient(os.Args[1], noToken{})
	if err != nil {
		log.Fatal(err)
	}
	made, err := hub.CreateSession(ctx, nil)
	session, ok := made.(*ogen.ChatSessionHeaders)
	if err != nil || !ok {
		log.Fatalf("made: %v, %+v", err, made)
	}
	id := session.Response.ID
	answer, err := hub.Say(ctx, &ogen.ChatMessage{Message: "I am sad", ConversationID: ogen.NewOptUUID(uuid.UUID(id))}, ogen.SayParams{})
	said, ok := answer.(*ogen.ChatResponseHeaders)
	if err != nil || !ok || said.Response.Response == "" || said.Response.FinishReason != "stop" {
		log.Fatalf("said: %v, %+v", err, answer)
	}
	found, err := hub.GetSession(ctx, ogen.GetSessionParams{SessionID: uuid.UUID(id).String()})
	got, ok := found.(*ogen.ChatSession)
	if err != nil || !ok || len(got.Messages) != 2 {
		log.Fatalf("got: %v, %+v", err, found)
	}
	if m, ok := got.Messages[1].GetAssistantMessage(); !ok || m.Content != said.Response.Response {
		log.Fatalf("kept: %+v", got.Messages[1])
	}
	gone, err := hub.DeleteSession(ctx, ogen.DeleteSessionParams{SessionID: uuid.UUID(id).String()})
	if _, ok := gone.(*ogen.DeleteSessionOK); err != nil || !ok {
		log.Fatalf("gone: %v, %+v", err, gone)
	}
	fmt.Println("talked")
}
