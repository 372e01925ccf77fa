// Command talk has a conversation by the client that oapi-codegen makes.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"lumos/backend/httpapi/interop/clients/oapi"
)

func main() {
	ctx := context.Background()
	hub, err := oapi.NewClientWithResponses(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	made, err := hub.CreateSessionWithResponse(ctx, oapi.CreateSessionJSONRequestBody{})
	if err != nil || made.JSON201 == nil {
		log.Fatalf("made: %v, %s", err, made.Body)
	}
	id := made.JSON201.Id
	said, err := hub.SayWithResponse(ctx, &oapi.SayParams{}, oapi.ChatMessage{Message: "I am sad", ConversationId: &id})
	if err != nil || said.JSON200 == nil || said.JSON200.Response == "" || said.JSON200.FinishReason != "stop" {
		log.Fatalf("said: %v, %s", err, said.Body)
	}
	got, err := hub.GetSessionWithResponse(ctx, id.String())
	if err != nil || got.JSON200 == nil || len(got.JSON200.Messages) != 2 {
		log.Fatalf("got: %v, %s", err, got.Body)
	}
	if m, err := got.JSON200.Messages[1].AsAssistantMessage(); err != nil || m.Content != said.JSON200.Response {
		log.Fatalf("kept: %+v, %v", m, err)
	}
	if gone, err := hub.DeleteSessionWithResponse(ctx, id.String()); err != nil || gone.JSON200 == nil {
		log.Fatalf("gone: %v, %s", err, gone.Body)
	}
	if missing, err := hub.GetSessionWithResponse(ctx, id.String()); err != nil || missing.JSON404 == nil || missing.JSON404.Error.Code != "session_not_found" {
		log.Fatalf("missing: %v, %s", err, missing.Body)
	}
	fmt.Println("talked")
}
