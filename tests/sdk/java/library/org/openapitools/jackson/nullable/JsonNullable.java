package org.openapitools.jackson.nullable;

import java.util.Objects;

/**
 * A field that has a value, is null, or is left out. In place of the class of this name in jackson-databind-nullable, which the
 * generated client needs and Debian does not have: as much of it as the client calls.
 */
public final class JsonNullable<T> {
    private static final JsonNullable<?> UNDEFINED = new JsonNullable<>(null, false);

    private final T value;
    private final boolean present;

    private JsonNullable(T value, boolean present) {
        this.value = value;
        this.present = present;
    }

    @SuppressWarnings("unchecked") // It has no value of any type.
    public static <T> JsonNullable<T> undefined() {
        return (JsonNullable<T>) UNDEFINED;
    }

    public static <T> JsonNullable<T> of(T value) {
        return new JsonNullable<>(value, true);
    }

    public boolean isPresent() {
        return present;
    }

    public T get() {
        return value;
    }

    public T orElse(T other) {
        return present ? value : other;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof JsonNullable<?>
                && ((JsonNullable<?>) other).present == present
                && Objects.equals(((JsonNullable<?>) other).value, value);
    }

    @Override
    public int hashCode() {
        return Objects.hash(present, value);
    }

    @Override
    public String toString() {
        return present ? "JsonNullable[" + value + "]" : "JsonNullable.undefined";
    }
}
