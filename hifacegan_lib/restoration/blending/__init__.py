"""How restored faces and their photograph become one picture: masks, fine detail, paste-back, the background."""
