import com.example.crm.ApiClient;
import com.example.crm.ApiException;
import com.example.crm.ApiResponse;
import com.example.crm.model.ErrorBody;
import com.example.crm.model.ErrorResource;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

/** Changes that are safe to repeat, with the client that openapi-generator makes. To be copied. */
final class Recipe {
    private static final int[] PAUSES_MS = {200, 1000, 5000};
    private static final ObjectMapper MAPPER = ApiClient.createDefaultObjectMapper();

    interface Call<A, T> {
        T with(A argument) throws ApiException;
    }

    interface Read<T> {
        ApiResponse<T> get() throws ApiException;
    }

    interface Change<T> {
        T with(T current, String entityTag) throws ApiException;
    }

    /** The error as the service described it; empty where the reply was lost or came from something on the way. */
    static Optional<ErrorBody> errorOf(ApiException refused) {
        if (refused.getResponseBody() == null) {
            return Optional.empty();
        }
        try {
            return Optional.of(MAPPER.readValue(refused.getResponseBody(), ErrorBody.class));
        } catch (JsonProcessingException other) {
            return Optional.empty();
        }
    }

    /**
     * Makes one change: its request id is set here, and stays the same over all attempts.
     *
     * @param read gets the resource by its id where an earlier attempt made the change and only its reply was lost (409)
     */
    static <T> T sendOnce(Call<String, T> send, Call<UUID, T> read) throws ApiException, InterruptedException {
        String requestId = UUID.randomUUID().toString();
        for (int pause : PAUSES_MS) {
            try {
                return send.with(requestId);
            } catch (ApiException refused) {
                Optional<ErrorResource> made = errorOf(refused).map(ErrorBody::getResource);
                if (refused.getCode() == 409 && made.isPresent()) {
                    return read.with(made.get().getId());
                }
                // 0: no reply, or half of one.
                if (refused.getCode() != 0 && refused.getCode() != 503) {
                    throw refused;
                }
                Thread.sleep(pause);
            }
        }
        return send.with(requestId);
    }

    /** The version that was read. */
    static String entityTag(ApiResponse<?> reply) {
        // A map that ignores case: the client got it from java.net.http.HttpHeaders.
        List<String> tags = reply.getHeaders().get("ETag");
        return tags.get(0);
    }

    /**
     * Changes what was read only if nobody else has changed it since; else reads it again (412).
     *
     * @param change gets the resource and its entity tag for {@code If-Match}, and looks whether the change is still wanted
     */
    static <T> T changeUnchanged(Read<T> read, Change<T> change) throws ApiException {
        for (int attempt = 0; ; attempt++) {
            ApiResponse<T> current = read.get();
            try {
                return change.with(current.getData(), entityTag(current));
            } catch (ApiException refused) {
                if (refused.getCode() != 412 || attempt == PAUSES_MS.length) {
                    throw refused;
                }
            }
        }
    }

    private Recipe() {}
}
